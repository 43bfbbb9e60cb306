"""Divide the patients whose TEM images have readings of deposits."""

from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.deposit_folds import DepositFolds
from nephroscale.stages.registry import stage_table

run_job(
    DepositFolds(),
    stage_table(),
    snakemake,
    inputs={
        "folds": snakemake.input.folds,
        "tem": snakemake.input.tem,
    },
    settings=snakemake.params.settings,
    receipt=snakemake.output.receipt,
)
