"""TEM images."""


rule bags:
    input:
        list_receipts_of("bags"),


rule make_bag:
    input:
        list_receipts_before("bags"),
    output:
        receipt("bags"),
    log:
        log_file("bags"),
    benchmark:
        benchmark_file("bags")
    threads: plan.config["compute"]["threads"]
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(30),
    message:
        "Clean the TEM images of {wildcards.patient}"
    script:
        "../../scripts/make_bag.py"
