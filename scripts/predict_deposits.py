"""Predict the deposits in new patients' TEM images."""

from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.new_deposits import NewDeposits
from nephroscale.stages.registry import stage_table

run_job(
    NewDeposits(),
    stage_table(),
    snakemake,
    inputs={
        "models": snakemake.input.models,
        "tem": snakemake.input.tem,
    },
    settings=snakemake.params.settings,
    receipt=snakemake.output.receipt,
)
