"""Fit a model's temperature on one fold's validation patients."""

from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.registry import stage_table
from nephroscale.stages.temperature import Temperature

run_job(
    Temperature(),
    stage_table(),
    snakemake,
    inputs={
        "folds": snakemake.input.folds,
        "weights": snakemake.input.weights,
    },
    settings=snakemake.params.settings,
    receipt=snakemake.output.receipt,
)
