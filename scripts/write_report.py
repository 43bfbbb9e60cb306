"""Write the report."""

from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.registry import stage_table
from nephroscale.stages.report import Report

run_job(
    Report(),
    stage_table(),
    snakemake,
    inputs={
        "receipts": snakemake.input.receipts,
    },
    settings=snakemake.params.settings,
    receipt=snakemake.output.receipt,
)
