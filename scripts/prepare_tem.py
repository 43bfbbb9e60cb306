"""Clean one patient's TEM images and make them a bag of instances."""

from typing import Any

from nephroscale.engine.job import Job, run_stage


def make(job: Job) -> dict[str, Any]:
    """Write the bag."""
    from nephroscale.tem.tem import prepare_tem

    images = [
        {"id": image.id, "path": job.raw(image), "facts": job.facts(image.id), "row": job.rows[image.id]}
        for image in job.images()
    ]
    return prepare_tem(images, job.settings, job.out)


run_stage(make, snakemake)
