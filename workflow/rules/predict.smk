"""Predict: the ensemble's predictions for patients outside the folds."""

predict_stage = stage_of_rule("predict")


rule predict:
    input:
        list_predictions,


rule predict_patients:
    input:
        weights=predict_stage.weights,
        temperatures=predict_stage.temperatures,
        priors=predict_stage.priors,
        tem=predict_stage.tem,
        features=predict_stage.features,
        tiles=predict_stage.tiles,
        facts=predict_stage.facts,
    output:
        receipt="<results>/predict/{model}/{set}.json",
    log:
        "<results>/logs/predict/{model}/{set}.log",
    benchmark:
        "<results>/benchmarks/predict/{model}/{set}.tsv"
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(60),
        gpu=count_gpus,
    params:
        settings=predict_stage.settings,
    message:
        "Predict {wildcards.set} by the ensemble of {wildcards.model}"
    script:
        "../../scripts/predict_patients.py"
