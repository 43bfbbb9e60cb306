"""Divide the patients into folds."""

from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.folds import Folds
from nephroscale.stages.registry import stage_table

run_job(
    Folds(),
    stage_table(),
    snakemake,
    inputs={
        "features": snakemake.input.features,
        "facts": snakemake.input.facts,
    },
    settings=snakemake.params.settings,
    receipt=snakemake.output.receipt,
)
