"""Predict patients outside the folds by the trained ensemble."""

from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.predict import Predict
from nephroscale.stages.registry import stage_table

run_job(
    Predict(),
    stage_table(),
    snakemake,
    inputs={
        "weights": snakemake.input.weights,
        "temperatures": snakemake.input.temperatures,
        "priors": snakemake.input.priors,
        "tem": snakemake.input.tem,
        "features": snakemake.input.features,
        "tiles": snakemake.input.tiles,
        "facts": snakemake.input.facts,
    },
    settings=snakemake.params.settings,
    receipt=snakemake.output.receipt,
)
