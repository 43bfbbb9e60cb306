"""Bags of feature maps."""


rule features:
    input:
        list_receipts_of("features"),


rule extract_features:
    input:
        list_receipts_before("features"),
    output:
        receipt("features"),
    log:
        log_file("features"),
    benchmark:
        benchmark_file("features")
    threads: plan.config["compute"]["threads"]
    resources:
        mem_mb=scale_with_attempt(6000),
        runtime=scale_with_attempt(30),
        gpu=count_gpus,
    message:
        "Encode {wildcards.modality} of {wildcards.patient}"
    script:
        "../../scripts/extract_features.py"
