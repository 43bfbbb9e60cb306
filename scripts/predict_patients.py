"""Predict patients outside the folds by the trained ensemble."""

from typing import Any

from nephroscale.engine.job import Job, run_stage


def make(job: Job) -> dict[str, Any]:
    """Write predictions, and the evidence that drove them."""
    from nephroscale.cohort.eligible import bags_by_patient
    from nephroscale.evaluation.predict import predict_ensemble
    from nephroscale.evaluation.prediction_cohort import list_cases, list_members

    receipts, settings = job.receipts(), job.settings
    return predict_ensemble(
        list_members(settings["members"], job.input),
        list_cases(job.rows, receipts, job.input, settings["modalities"]),
        bags_by_patient(receipts, job.input),
        settings["classes"],
        job.out,
        job.device,
        job.rows["negatives"],
        settings.get("prediction", "softmax"),
    )


run_stage(make, snakemake)
