"""Train one model on one fold with one seed."""

from typing import Any

from nephroscale.engine.job import Job, run_stage


def make(job: Job) -> dict[str, Any]:
    """Train, from the last checkpoint where there is one."""
    from nephroscale.cohort.eligible import bags_by_patient, read_folds
    from nephroscale.training.fit import fit

    settings, model = job.settings, job.settings["model"]
    if model.get("encoder"):  # where its weights lie is no part of the recipe; their digest is
        weights = job.config["models"][job.unit.partition("/fold")[0]]["encoder"]["weights"]
        model = {**model, "encoder": {**model["encoder"], "weights": weights}}
    return fit(
        read_folds(job.input("folds")),
        str(settings["fold"]),
        bags_by_patient(job.receipts(), job.input),
        model,
        settings["train"],
        settings["seed"],
        job.out,
        job.work,
        job.device,
        negatives=job.rows,
    )


run_stage(make, snakemake)
