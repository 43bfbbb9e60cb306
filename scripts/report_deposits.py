"""Write the page on electron-dense deposits."""

from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.deposits import DepositsPage
from nephroscale.stages.registry import stage_table

run_job(
    DepositsPage(),
    stage_table(),
    snakemake,
    inputs={
        "predictions": snakemake.input.predictions,
        "networks": snakemake.input.networks,
        "tem": snakemake.input.tem,
    },
    settings=snakemake.params.settings,
    receipt=snakemake.output.receipt,
)
