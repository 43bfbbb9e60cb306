"""Predict one fold's test patients with one trained model."""

from typing import Any

from nephroscale.engine.job import Job, run_stage


def make(job: Job) -> dict[str, Any]:
    """Write predictions, instance weights and attention."""
    from nephroscale.cohort.eligible import bags_by_patient, read_folds
    from nephroscale.evaluation.evaluate import predict

    folds, bags = read_folds(job.input("folds")), bags_by_patient(job.receipts(), job.input)
    weights, fold = job.input("train", job.unit), str(job.settings["fold"])
    prediction = job.settings.get("prediction", "softmax")
    return predict(folds, fold, weights, bags, job.out, job.device, job.rows, prediction)


run_stage(make, snakemake)
