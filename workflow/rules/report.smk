"""The report."""


rule report:
    input:
        list_receipts_of("report"),


rule write_report:
    input:
        list_receipts_before("report"),
    output:
        report(receipt("report"), caption="../report/receipt.rst", category="Report"),
    log:
        log_file("report"),
    benchmark:
        benchmark_file("report")
    threads: plan.config["compute"]["threads"]
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(60),
    message:
        "Write the report"
    script:
        "../../scripts/write_report.py"
