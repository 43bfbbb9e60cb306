"""Tile and normalise one OM or IM image."""

from typing import Any

from nephroscale.engine.job import Job, run_stage


def make(job: Job) -> dict[str, Any]:
    """Write the image's pyramid of tiles."""
    from nephroscale.slides.reference import read_reference
    from nephroscale.slides.tiles import tile_slide

    (image,) = job.images()
    reference = read_reference(job.input("reference"), job.config["om"], image.modality)
    return tile_slide(job.raw(image), job.readable_facts(image.id), job.rows, job.settings, reference, job.out)


run_stage(make, snakemake)
