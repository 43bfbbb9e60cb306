"""Fit the priors of TEM images, probabilities of electron-dense deposits, on one fold."""

from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.deposit_priors import DepositPriors
from nephroscale.stages.registry import stage_table

run_job(
    DepositPriors(),
    stage_table(),
    snakemake,
    inputs={
        "folds": snakemake.input.folds,
        "diagnosis": snakemake.input.diagnosis,
        "tem": snakemake.input.tem,
    },
    settings=snakemake.params.settings,
    receipt=snakemake.output.receipt,
)
