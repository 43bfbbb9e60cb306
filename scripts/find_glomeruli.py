"""Find the glomeruli of one OM or IM image and cut them out."""

from typing import Any

from nephroscale.engine.job import Job, run_stage


def make(job: Job) -> dict[str, Any]:
    """Write contours and crops."""
    from nephroscale.glomeruli.glomeruli import find_glomeruli

    segmenter = job.input("segmenter") if job.rows["modality"] == "OM" else None
    return find_glomeruli(job.input("tiles", job.unit), segmenter, job.facts(job.unit), job.rows, job.settings, job.out)


run_stage(make, snakemake)
