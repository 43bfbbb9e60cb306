"""Temperatures."""


rule temperature:
    input:
        list_receipts_of("temperature"),


rule fit_temperature:
    input:
        list_receipts_before("temperature"),
    output:
        receipt("temperature"),
    log:
        log_file("temperature"),
    benchmark:
        benchmark_file("temperature")
    threads: plan.config["compute"]["threads"]
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(30),
        gpu=count_gpus,
    message:
        "Calibrate {wildcards.model} on fold {wildcards.fold} with seed {wildcards.seed}"
    script:
        "../../scripts/fit_temperature.py"
