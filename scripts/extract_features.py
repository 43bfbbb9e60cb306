"""Encode one patient's instances of one modality."""

from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.features import Features
from nephroscale.stages.registry import stage_table

run_job(
    Features(),
    stage_table(),
    snakemake,
    inputs={
        "glomeruli": snakemake.input.glomeruli,
        "tem": snakemake.input.tem,
    },
    settings=snakemake.params.settings,
    receipt=snakemake.output.receipt,
)
