"""Predictions on test patients."""


rule evaluate:
    input:
        list_receipts_of("evaluate"),


rule evaluate_model:
    input:
        list_receipts_before("evaluate"),
    output:
        receipt("evaluate"),
    log:
        log_file("evaluate"),
    benchmark:
        benchmark_file("evaluate")
    threads: plan.config["compute"]["threads"]
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(30),
        gpu=count_gpus,
    message:
        "Evaluate {wildcards.model} on fold {wildcards.fold} with seed {wildcards.seed}"
    script:
        "../../scripts/evaluate_model.py"
