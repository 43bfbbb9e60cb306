"""Predict one fold's test patients with one trained model."""

from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.evaluate import Evaluate
from nephroscale.stages.registry import stage_table

run_job(
    Evaluate(),
    stage_table(),
    snakemake,
    inputs={
        "folds": snakemake.input.folds,
        "weights": snakemake.input.weights,
        "priors": snakemake.input.priors,
        "tem": snakemake.input.tem,
        "features": snakemake.input.features,
    },
    settings=snakemake.params.settings,
    receipt=snakemake.output.receipt,
)
