"""Folds: which patients train, validate and test in each fold.

The rule outputs the receipt. The job also writes the link `<results>/folds` to the folder in the store, which has
`folds.json`. Of the features, it depends only on which were accepted, and on why others were not.
"""

folds_stage = stage_of_rule("folds")


rule folds:
    input:
        list_receipts_up_to("folds"),


rule make_folds:
    input:
        features=folds_stage.features,
        facts=folds_stage.facts,
    output:
        receipt="<results>/folds.json",
    log:
        "<results>/logs/folds/cohort.log",
    benchmark:
        "<results>/benchmarks/folds/cohort.tsv"
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(1000),
        runtime=scale_with_attempt(30),
    params:
        settings=folds_stage.settings,
    message:
        "Divide the patients into folds"
    script:
        "../../scripts/make_folds.py"
