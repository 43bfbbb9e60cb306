"""TEM: the cleaned images of each patient, as the instances of a bag.

The rule outputs the receipt. The job also writes the link `<results>/tem/{patient}.zarr` to the bag in the store.
It reads the raw files, too, which the stage names (scripts/nephroscale/stages/tem.py). tiles.smk describes how a job
runs, and how an artifact is made again.
"""

tem_stage = stage_of_rule("tem")


rule tem:
    input:
        list_receipts_up_to("tem"),


rule prepare_tem:
    input:
        facts=tem_stage.facts,
    output:
        receipt="<results>/tem/{patient}.json",
    log:
        "<results>/logs/tem/{patient}.log",
    benchmark:
        "<results>/benchmarks/tem/{patient}.tsv"
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(30),
    params:
        settings=tem_stage.settings,
    message:
        "Clean the TEM images of {wildcards.patient}"
    script:
        "../../scripts/prepare_tem.py"
