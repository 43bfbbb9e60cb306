"""Folds."""


rule folds:
    input:
        list_receipts_of("folds"),


rule make_folds:
    input:
        list_receipts_before("folds"),
    output:
        receipt("folds"),
    log:
        log_file("folds"),
    benchmark:
        benchmark_file("folds")
    threads: plan.config["compute"]["threads"]
    resources:
        mem_mb=scale_with_attempt(1000),
        runtime=scale_with_attempt(30),
    message:
        "Divide the patients into folds"
    script:
        "../../scripts/make_folds.py"
