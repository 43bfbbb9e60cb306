"""Register one patient's raw files."""

from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.register import Register
from nephroscale.stages.registry import stage_table

run_job(
    Register(),
    stage_table(),
    snakemake,
    inputs={},
    settings=snakemake.params.settings,
    receipt=snakemake.output.receipt,
)
