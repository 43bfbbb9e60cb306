"""Train the network that finds glomeruli."""

from typing import Any

from nephroscale.engine.job import Job, run_stage


def make(job: Job) -> dict[str, Any]:
    """Train on the annotated slides of the patients set apart."""
    from nephroscale.glomeruli.unet import train_segmenter

    slides = [
        {"id": image.id, "tiles": tiles, "annotation": job.annotation(image)}
        for image in job.images()
        if (tiles := job.input("tiles", image.id))
    ]
    return train_segmenter(slides, job.settings, job.seed, job.out)


run_stage(make, snakemake)
