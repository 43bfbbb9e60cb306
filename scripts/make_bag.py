"""Clean one patient's TEM images and make them a bag of instances."""

from typing import Any

from nephroscale.stages.job import Job, run_stage


def make(job: Job) -> dict[str, Any]:
    """Write the bag."""
    from nephroscale.tem.bags import make_bag

    images = [
        {"id": image.id, "path": job.raw(image), "facts": job.facts(image.id), "row": job.rows[image.id]}
        for image in job.images()
    ]
    return make_bag(images, job.settings, job.out)


run_stage(make, snakemake)
