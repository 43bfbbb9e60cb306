"""Folds: which patients train, validate and test."""

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
