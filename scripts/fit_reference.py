"""Fit the stains that slides are normalised to."""

from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.reference import Reference
from nephroscale.stages.registry import stage_table

run_job(
    Reference(),
    stage_table(),
    snakemake,
    inputs={
        "facts": snakemake.input.facts,
    },
    settings=snakemake.params.settings,
    receipt=snakemake.output.receipt,
)
