"""Reference: the stains that OM slides are normalised to, from the patients set apart.

The rule outputs the receipt. The job also writes the link `<results>/reference` to the JSON file in the store. It reads
the raw slides, too, which the stage names (scripts/nephroscale/stages/reference.py).
"""

reference_stage = stage_of_rule("reference")


rule reference:
    input:
        list_receipts_up_to("reference"),


rule fit_reference:
    input:
        facts=reference_stage.facts,
    output:
        receipt="<results>/reference.json",
    log:
        "<results>/logs/reference/cohort.log",
    benchmark:
        "<results>/benchmarks/reference/cohort.tsv"
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(120),
    params:
        settings=reference_stage.settings,
    message:
        "Fit the stain reference"
    script:
        "../../scripts/fit_reference.py"
