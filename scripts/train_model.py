"""Train one model on one fold with one seed."""

from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.registry import stage_table
from nephroscale.stages.train import Train

run_job(
    Train(),
    stage_table(),
    snakemake,
    inputs={
        "folds": snakemake.input.folds,
        "priors": snakemake.input.priors,
        "features": snakemake.input.features,
    },
    settings=snakemake.params.settings,
    receipt=snakemake.output.receipt,
)
