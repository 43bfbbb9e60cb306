"""Predict the deposits in one fold's test images."""

from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.deposit_predictions import DepositPredictions
from nephroscale.stages.registry import stage_table

run_job(
    DepositPredictions(),
    stage_table(),
    snakemake,
    inputs={
        "folds": snakemake.input.folds,
        "models": snakemake.input.models,
        "tem": snakemake.input.tem,
    },
    settings=snakemake.params.settings,
    receipt=snakemake.output.receipt,
)
