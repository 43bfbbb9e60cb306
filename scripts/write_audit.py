"""Write the audit."""

from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.audit import Audit
from nephroscale.stages.registry import stage_table

run_job(
    Audit(),
    stage_table(),
    snakemake,
    inputs={
        "receipts": snakemake.input.receipts,
    },
    settings=snakemake.params.settings,
    receipt=snakemake.output.receipt,
)
