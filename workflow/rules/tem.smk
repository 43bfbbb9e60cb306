"""TEM images."""


rule tem:
    input:
        list_receipts_of("tem"),


rule prepare_tem:
    input:
        list_receipts_before("tem"),
    output:
        receipt("tem"),
    log:
        log_file("tem"),
    benchmark:
        benchmark_file("tem")
    threads: plan.config["compute"]["threads"]
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(30),
    message:
        "Clean the TEM images of {wildcards.patient}"
    script:
        "../../scripts/prepare_tem.py"
