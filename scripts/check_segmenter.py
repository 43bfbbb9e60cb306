"""Train the segmenter without some patients and compare what it finds in their slides with their outlines."""

from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.registry import stage_table
from nephroscale.stages.segmenter_check import SegmenterCheck

run_job(
    SegmenterCheck(),
    stage_table(),
    snakemake,
    inputs={
        "tiles": snakemake.input.tiles,
        "outlines": snakemake.input.outlines,
        "facts": snakemake.input.facts,
    },
    settings=snakemake.params.settings,
    receipt=snakemake.output.receipt,
)
