"""Tile and normalise one OM or IM image."""

from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.registry import stage_table
from nephroscale.stages.tiles import Tiles

run_job(
    Tiles(),
    stage_table(),
    snakemake,
    inputs={
        "facts": snakemake.input.facts,
        "reference": snakemake.input.reference,
    },
    settings=snakemake.params.settings,
    receipt=snakemake.output.receipt,
)
