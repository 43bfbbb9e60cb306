"""Train one model of electron-dense deposits on one fold."""

from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.deposit_models import DepositModels
from nephroscale.stages.registry import stage_table

run_job(
    DepositModels(),
    stage_table(),
    snakemake,
    inputs={
        "folds": snakemake.input.folds,
        "tem": snakemake.input.tem,
    },
    settings=snakemake.params.settings,
    receipt=snakemake.output.receipt,
)
