"""Find the glomeruli of one OM or IM image and cut them out."""

from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.glomeruli import Glomeruli
from nephroscale.stages.registry import stage_table

run_job(
    Glomeruli(),
    stage_table(),
    snakemake,
    inputs={
        "facts": snakemake.input.facts,
        "tiles": snakemake.input.tiles,
        "outlines": snakemake.input.outlines,
        "segmenter": snakemake.input.segmenter,
    },
    settings=snakemake.params.settings,
    receipt=snakemake.output.receipt,
)
