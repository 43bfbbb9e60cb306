"""Report: tables, plots and one page about everything that was made.

The rule outputs the receipt. The job also writes the link `<results>/report` to the folder in the store. Further rules
copy pages to `<results>/{page}.html` (the audit's, too) and the table of cases to `<results>/patients.csv`.
"""

report_stage = stage_of_rule("report")


rule report:
    input:
        list_receipts_up_to("report"),


rule write_report:
    input:
        receipts=report_stage.receipts,
    output:
        receipt="<results>/report.json",
    log:
        "<results>/logs/report/cohort.log",
    benchmark:
        "<results>/benchmarks/report/cohort.tsv"
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(60),
    params:
        settings=report_stage.settings,
    message:
        "Write the report"
    script:
        "../../scripts/write_report.py"


# The pages themselves, for `snakemake --report`.
rule show_page:
    input:
        receipt=receipt_of_page,
    output:
        page=report(
            "<results>/{page}.html", caption="../report/page.rst", category="Pages"
        ),
    log:
        "<results>/logs/pages/{page}.log",
    localrule: True
    params:
        page=page_of_object,
    message:
        "Copy the page of the {wildcards.page}"
    shell:
        # In the copy, links to pages of cases point to the folder beside it, and the link to the audit to audit.html.
        "sed -e 's|href=\"cases/|href=\"{wildcards.page}/cases/|g' -e 's|href=\"../audit.html|href=\"audit.html|g'"
        " {params.page:q} > {output.page:q} 2> {log:q}"


# The table of cases, beside the page.
rule show_patients:
    input:
        receipt=receipt_of_report,
    output:
        table=report(
            "<results>/patients.csv",
            caption="../report/patients.rst",
            category="Tables",
        ),
    log:
        "<results>/logs/pages/patients.log",
    localrule: True
    params:
        table=str(plan.results / "report" / "patients.csv"),
    message:
        "Copy the table of cases"
    shell:
        "cp {params.table:q} {output.table:q} 2> {log:q}"
