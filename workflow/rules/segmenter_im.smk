"""IM segmenter: the network that segments glomeruli in IM, from the patients set apart.

The job also writes the link `<results>/segmenter_im` to the network in the store. The inputs and settings are those of
the stage `segmenter`, for IM (scripts/nephroscale/stages/segmenter.py).
"""

segmenter_im_stage = stage_of_rule("segmenter_im")


rule segmenter_im:
    input:
        list_receipts_up_to("segmenter_im"),


rule train_im_segmenter:
    input:
        tiles=segmenter_im_stage.tiles,
        outlines=segmenter_im_stage.outlines,
        facts=segmenter_im_stage.facts,
    output:
        receipt="<results>/segmenter_im.json",
    log:
        "<results>/logs/segmenter_im/cohort.log",
    benchmark:
        "<results>/benchmarks/segmenter_im/cohort.tsv"
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(6000),
        runtime=scale_with_attempt(240),
    params:
        settings=segmenter_im_stage.settings,
    message:
        "Train the glomerulus segmenter for IM"
    script:
        "../../scripts/train_im_segmenter.py"
