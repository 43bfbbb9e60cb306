"""Clean one patient's TEM images and make them a bag of instances."""

from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.registry import stage_table
from nephroscale.stages.tem import Tem

run_job(
    Tem(),
    stage_table(),
    snakemake,
    inputs={
        "facts": snakemake.input.facts,
    },
    settings=snakemake.params.settings,
    receipt=snakemake.output.receipt,
)
