"""Register: the digest and the facts of each raw file of a patient.

The rule outputs the receipt. The job also writes the link `<results>/register/{patient}.facts.json` to the JSON file in
the store. Its inputs are raw files, which the stage names (scripts/nephroscale/stages/register.py).
"""

register_stage = stage_of_rule("register")


rule register:
    input:
        list_receipts_up_to("register"),


rule register_patient:
    input:
        no_input,
    output:
        receipt="<results>/register/{patient}.json",
    log:
        "<results>/logs/register/{patient}.log",
    benchmark:
        "<results>/benchmarks/register/{patient}.tsv"
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(1000),
        runtime=scale_with_attempt(30),
    params:
        settings=register_stage.settings,
    message:
        "Register the raw files of {wildcards.patient}"
    script:
        "../../scripts/register_patient.py"
