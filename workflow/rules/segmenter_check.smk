"""Segmenter check: what the segmenter finds in patients who were held out of its training.

The rule outputs the receipt. The job also writes the link `<results>/segmenter_check/fold{fold}` to the network and its
figures (`held_out.json`) in the store. The inputs are those of the stage `segmenter`, for OM or IM.
"""

segmenter_check_stage = stage_of_rule("segmenter_check")


rule segmenter_check:
    input:
        list_receipts_up_to("segmenter_check"),


rule check_segmenter:
    input:
        tiles=segmenter_check_stage.tiles,
        outlines=segmenter_check_stage.outlines,
        facts=segmenter_check_stage.facts,
    output:
        receipt="<results>/segmenter_check/fold{fold}.json",
    log:
        "<results>/logs/segmenter_check/fold{fold}.log",
    benchmark:
        "<results>/benchmarks/segmenter_check/fold{fold}.tsv"
    wildcard_constraints:
        fold="[0-9]+(-IM)?",
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(6000),
        runtime=scale_with_attempt(240),
    params:
        settings=segmenter_check_stage.settings,
    message:
        "Check the glomerulus segmenter on the patients of fold {wildcards.fold}"
    script:
        "../../scripts/check_segmenter.py"
