"""Tiles: a normalised pyramid of each OM and IM image.

The rule outputs the receipt. The job also writes the link `<results>/tiles/{image}.ome.zarr` to the pyramid in the store.
It reads the raw file, too, which the stage names (scripts/nephroscale/stages/tiles.py). `--forcerun` with the path of a
receipt makes this image again; a receipt that is only deleted comes back from the store.
"""

tiles_stage = stage_of_rule("tiles")


rule tiles:
    input:
        list_receipts_of("tiles"),


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
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(60),
    params:
        settings=tiles_stage.settings,
    message:
        "Tile and normalise {wildcards.image}"
    script:
        "../../scripts/tile_slide.py"
