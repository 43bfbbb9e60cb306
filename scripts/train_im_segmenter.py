"""Train the network that finds glomeruli in IM."""

from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.registry import stage_table
from nephroscale.stages.segmenter_im import ImSegmenter

run_job(
    ImSegmenter(),
    stage_table(),
    snakemake,
    inputs={
        "tiles": snakemake.input.tiles,
        "outlines": snakemake.input.outlines,
        "facts": snakemake.input.facts,
    },
    settings=snakemake.params.settings,
    receipt=snakemake.output.receipt,
)
