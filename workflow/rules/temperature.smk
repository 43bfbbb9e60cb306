"""Temperature: calibrates each trained model on its fold's validation patients."""

temperature_stage = stage_of_rule("temperature")


rule temperature:
    input:
        list_receipts_of("temperature"),


rule fit_temperature:
    input:
        folds=temperature_stage.folds,
        weights=temperature_stage.weights,
        features=temperature_stage.features,
    output:
        receipt="<results>/temperature/{model}/fold{fold}-seed{seed}.json",
    log:
        "<results>/logs/temperature/{model}/fold{fold}-seed{seed}.log",
    benchmark:
        "<results>/benchmarks/temperature/{model}/fold{fold}-seed{seed}.tsv"
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(30),
        gpu=count_gpus,
    params:
        settings=temperature_stage.settings,
    message:
        "Fit the temperature of {wildcards.model} on fold {wildcards.fold} with seed {wildcards.seed}"
    script:
        "../../scripts/fit_temperature.py"
