"""Fit the stains that slides are normalised to."""

from typing import Any

from nephroscale.engine.job import Job, run_stage


def make(job: Job) -> dict[str, Any]:
    """Fit the reference on the slides of the patients set apart."""
    from nephroscale.slides.reference import write_reference

    slides = [(job.raw(image), job.facts(image.id), image.stain) for image in job.images()]
    return write_reference(slides, job.settings, job.out)


run_stage(make, snakemake)
