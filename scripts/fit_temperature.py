"""Fit one trained model's temperature on its fold's validation patients."""

from typing import Any

from nephroscale.engine.job import Job, run_stage


def make(job: Job) -> dict[str, Any]:
    """Write the temperature and the validation patients' predictions."""
    from nephroscale.cohort.eligible import bags_by_patient, read_folds
    from nephroscale.evaluation.temperature import calibrate

    return calibrate(
        read_folds(job.input("folds")),
        str(job.settings["fold"]),
        job.input("train", job.unit),
        bags_by_patient(job.receipts(), job.input),
        job.out,
        job.device,
        job.rows,
        job.settings.get("prediction", "softmax"),
    )


run_stage(make, snakemake)
