"""Train the network that finds glomeruli."""

from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.registry import stage_table
from nephroscale.stages.segmenter import Segmenter

run_job(
    Segmenter(),
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
