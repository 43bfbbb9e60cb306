"""Glomeruli: contours and crops of each OM and IM image.

The rule outputs the receipt. The job also writes the link `<results>/glomeruli/{image}` to the artifact in the store.
"""

glomeruli_stage = stage_of_rule("glomeruli")


rule glomeruli:
    input:
        list_receipts_up_to("glomeruli"),


rule find_glomeruli:
    input:
        facts=glomeruli_stage.facts,
        tiles=glomeruli_stage.tiles,
        outlines=glomeruli_stage.outlines,
        segmenter=glomeruli_stage.segmenter,
    output:
        receipt="<results>/glomeruli/{image}.json",
    log:
        "<results>/logs/glomeruli/{image}.log",
    benchmark:
        "<results>/benchmarks/glomeruli/{image}.tsv"
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(30),
    params:
        settings=glomeruli_stage.settings,
    message:
        "Find the glomeruli of {wildcards.image}"
    script:
        "../../scripts/find_glomeruli.py"
