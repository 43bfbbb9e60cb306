"""Evaluate: predictions of each trained model on its fold's test patients.

Who these are is known only after `folds`; for `tem` and `features`, Snakemake waits for the receipt of `folds`.
"""

evaluate_stage = stage_of_rule("evaluate")


rule evaluate:
    input:
        list_receipts_up_to("evaluate"),


rule evaluate_model:
    input:
        folds=evaluate_stage.folds,
        weights=evaluate_stage.weights,
        priors=evaluate_stage.priors,
        tem=evaluate_stage.tem,
        features=evaluate_stage.features,
    output:
        receipt="<results>/evaluate/{model}/fold{fold}-seed{seed}.json",
    log:
        "<results>/logs/evaluate/{model}/fold{fold}-seed{seed}.log",
    benchmark:
        "<results>/benchmarks/evaluate/{model}/fold{fold}-seed{seed}.tsv"
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(30),
        gpu=count_gpus,
    params:
        settings=evaluate_stage.settings,
    message:
        "Evaluate {wildcards.model} on fold {wildcards.fold} with seed {wildcards.seed}"
    script:
        "../../scripts/evaluate_model.py"
