"""Audit: the provenance of every artifact, as a page, a JSON document and an RO-Crate.

The rule outputs the receipt. The job also writes the link `<results>/audit` to the folder in the store; the rule
`show_page` (report.smk) copies the page to `<results>/audit.html`.
"""

audit_stage = stage_of_rule("audit")


rule audit:
    input:
        list_receipts_up_to("audit"),


rule write_audit:
    input:
        receipts=audit_stage.receipts,
    output:
        receipt="<results>/audit.json",
    log:
        "<results>/logs/audit/cohort.log",
    benchmark:
        "<results>/benchmarks/audit/cohort.tsv"
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(60),
    params:
        settings=audit_stage.settings,
    message:
        "Write the audit"
    script:
        "../../scripts/write_audit.py"
