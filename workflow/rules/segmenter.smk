"""Segmenter: the network that segments glomeruli in OM, from the patients set apart.

The job also writes the link `<results>/segmenter` to the network in the store, and reads the files of outlines, which
the stage names (scripts/nephroscale/stages/segmenter.py).
"""

segmenter_stage = stage_of_rule("segmenter")


rule segmenter:
    input:
        list_receipts_up_to("segmenter"),


rule train_segmenter:
    input:
        tiles=segmenter_stage.tiles,
        outlines=segmenter_stage.outlines,
        facts=segmenter_stage.facts,
    output:
        receipt="<results>/segmenter.json",
    log:
        "<results>/logs/segmenter/cohort.log",
    benchmark:
        "<results>/benchmarks/segmenter/cohort.tsv"
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(6000),
        runtime=scale_with_attempt(240),
    params:
        settings=segmenter_stage.settings,
    message:
        "Train the glomerulus segmenter"
    script:
        "../../scripts/train_segmenter.py"
