"""Weights."""


rule train:
    input:
        list_receipts_of("train"),


rule train_model:
    input:
        list_receipts_before("train"),
    output:
        receipt("train"),
    log:
        log_file("train"),
    benchmark:
        benchmark_file("train")
    threads: plan.config["compute"]["threads"]
    resources:
        mem_mb=scale_with_attempt(16000),
        runtime=scale_with_attempt(720),
        gpu=count_gpus,
    message:
        "Train {wildcards.model} on fold {wildcards.fold} with seed {wildcards.seed}"
    script:
        "../../scripts/train_model.py"
