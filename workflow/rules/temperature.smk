"""Temperature: calibrates each model on each fold's validation patients.

The rule outputs the receipt. The job also writes the link `<results>/temperature/{model}/fold{fold}` to the folder in
the store, which has `temperature.json`.
"""

temperature_stage = stage_of_rule("temperature")


rule temperature:
    input:
        list_receipts_up_to("temperature"),


rule fit_temperature:
    input:
        folds=temperature_stage.folds,
        weights=temperature_stage.weights,
    output:
        receipt="<results>/temperature/{model}/fold{fold}.json",
    log:
        "<results>/logs/temperature/{model}/fold{fold}.log",
    benchmark:
        "<results>/benchmarks/temperature/{model}/fold{fold}.tsv"
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(2000),
        runtime=scale_with_attempt(30),
    params:
        settings=temperature_stage.settings,
    message:
        "Fit the temperature of {wildcards.model} on fold {wildcards.fold}"
    script:
        "../../scripts/fit_temperature.py"
