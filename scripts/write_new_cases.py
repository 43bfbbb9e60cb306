"""Write the pages of new patients."""

from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.new_cases import NewCases
from nephroscale.stages.registry import stage_table

run_job(
    NewCases(),
    stage_table(),
    snakemake,
    inputs={
        "predictions": snakemake.input.predictions,
        "deposits": snakemake.input.deposits,
        "facts": snakemake.input.facts,
        "tiles": snakemake.input.tiles,
        "glomeruli": snakemake.input.glomeruli,
        "tem": snakemake.input.tem,
        "features": snakemake.input.features,
    },
    settings=snakemake.params.settings,
    receipt=snakemake.output.receipt,
)
