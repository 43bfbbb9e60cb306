"""Provenance: the audit."""


rule audit:
    input:
        list_receipts_of("audit"),


rule write_audit:
    input:
        list_receipts_before("audit"),
    output:
        report(receipt("audit"), caption="../report/receipt.rst", category="Audit"),
    log:
        log_file("audit"),
    benchmark:
        benchmark_file("audit")
    threads: plan.config["compute"]["threads"]
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(60),
    message:
        "Write the audit"
    script:
        "../../scripts/write_audit.py"
