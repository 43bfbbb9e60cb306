"""Temperatures."""


rule calibrate:
    input:
        list_receipts_of("calibrate"),


rule calibrate_model:
    input:
        list_receipts_before("calibrate"),
    output:
        receipt("calibrate"),
    log:
        log_file("calibrate"),
    benchmark:
        benchmark_file("calibrate")
    threads: plan.config["compute"]["threads"]
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(30),
        gpu=count_gpus,
    message:
        "Calibrate {wildcards.model} on fold {wildcards.fold} with seed {wildcards.seed}"
    script:
        "../../scripts/calibrate_model.py"
