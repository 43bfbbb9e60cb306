"""Fit one trained model's temperature on its fold's validation patients."""

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
        "features": snakemake.input.features,
    },
    settings=snakemake.params.settings,
    receipt=snakemake.output.receipt,
)
