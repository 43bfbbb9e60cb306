"""Tiles: a pyramid of each OM image, its stain normalised, and of each IM image, its background subtracted.

The rule outputs the receipt. The job also writes the link `<results>/tiles/{image}.ome.zarr` to the pyramid in the
store; a rejected image has no link. It reads the raw file, too, which the stage names
(scripts/nephroscale/stages/tiles.py). The script gives the inputs to `run_job` (engine/snakemake/script.py), which
looks the recipe up in the store, or calls the stage's `make`.

`snakemake --forcerun RECEIPT -- RECEIPT` makes this image again; RECEIPT is the path of its receipt. Without the
second RECEIPT, everything else that is outdated is made, too. The first result stays valid; a record states whether the
new one is equal. A receipt that is only deleted comes back from the store.
"""

tiles_stage = stage_of_rule("tiles")


rule tiles:
    input:
        list_receipts_up_to("tiles"),


rule tile_slide:
    input:
        facts=tiles_stage.facts,
        reference=tiles_stage.reference,
    output:
        receipt="<results>/tiles/{image}.json",
    log:
        "<results>/logs/tiles/{image}.log",
    benchmark:
        "<results>/benchmarks/tiles/{image}.tsv"
    threads: plan.config.compute.threads  # part of every recipe
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(60),
    params:
        settings=tiles_stage.settings,  # compared by the job; only recipes decide what runs
    message:
        "Tile and normalise {wildcards.image}"
    script:
        "../../scripts/tile_slide.py"
