"""Each patient's raw files."""


rule register:
    input:
        list_receipts_of("register"),


rule register_patient:
    input:
        list_receipts_before("register"),
    output:
        receipt("register"),
    log:
        log_file("register"),
    benchmark:
        benchmark_file("register")
    threads: plan.config["compute"]["threads"]
    resources:
        mem_mb=scale_with_attempt(1000),
        runtime=scale_with_attempt(30),
    message:
        "Register the raw files of {wildcards.patient}"
    script:
        "../../scripts/register_patient.py"
