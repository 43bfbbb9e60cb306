"""Predict: the ensemble's predictions for patients outside the folds, and a page for each new case.

Units are a model and a batch of new patients, or `external` (no pages). Each rule outputs the receipt; the jobs also
write the links `<results>/predict/{model}/{batch}` and `<results>/new_cases/{model}/{batch}` to folders in the store.
"""

predict_stage = stage_of_rule("predict")
new_cases_stage = stage_of_rule("new_cases")


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
        receipt="<results>/predict/{model}/{batch}.json",
    log:
        "<results>/logs/predict/{model}/{batch}.log",
    benchmark:
        "<results>/benchmarks/predict/{model}/{batch}.tsv"
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(60),
        gpu=count_gpus,
    params:
        settings=predict_stage.settings,
    message:
        "Predict {wildcards.batch} by the ensemble of {wildcards.model}"
    script:
        "../../scripts/predict_patients.py"


rule write_new_cases:
    input:
        predictions=new_cases_stage.predictions,
        deposits=new_cases_stage.deposits,
        facts=new_cases_stage.facts,
        tiles=new_cases_stage.tiles,
        glomeruli=new_cases_stage.glomeruli,
        tem=new_cases_stage.tem,
        features=new_cases_stage.features,
    output:
        receipt="<results>/new_cases/{model}/{batch}.json",
    log:
        "<results>/logs/new_cases/{model}/{batch}.log",
    benchmark:
        "<results>/benchmarks/new_cases/{model}/{batch}.tsv"
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(60),
    params:
        settings=new_cases_stage.settings,
    message:
        "Write the pages of the cases of {wildcards.batch}, predicted by {wildcards.model}"
    script:
        "../../scripts/write_new_cases.py"
