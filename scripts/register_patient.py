"""Register one patient's raw files."""

from typing import Any

from nephroscale.engine.job import Job, run_stage


def make(job: Job) -> dict[str, Any]:
    """Write the facts of the patient's images."""
    from nephroscale.slides.register import register_images

    images = {i.id: {"path": job.raw(i), "row": job.rows[i.id], **job.raw_digests(i)} for i in job.images()}
    figures, parts = register_images(images, job.out)
    job.parts.update(parts)
    return figures


run_stage(make, snakemake)
