"""Encode one patient's instances of one modality."""

from typing import Any

from nephroscale.engine.job import Job, run_stage


def make(job: Job) -> dict[str, Any]:
    """Write the bag of features."""
    from nephroscale.features.features import extract_features
    from nephroscale.features.import_h5 import import_h5
    from nephroscale.features.sources import choose_sources

    patient, modality = job.rows["patient"], job.rows["modality"]
    encoder = job.config["features"]["encoders"][modality]
    if encoder["name"] == "h5":
        return import_h5(patient, modality, encoder["weights"], job.out)
    sources = choose_sources(job.rows, job.receipts(), job.input, job.settings)
    settings = {**job.settings, "encoders": {modality: encoder}}
    panel = job.settings.get("panel", [])
    return extract_features(patient, modality, sources, settings, panel, job.out, job.device)


run_stage(make, snakemake)
