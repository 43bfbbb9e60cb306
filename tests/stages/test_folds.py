"""The same image under two patients stops the folds."""

import json

import pytest

from nephroscale.cohort.eligibility import EligibilitySettings
from nephroscale.errors import NephroscaleError
from nephroscale.stages.folds import STAGE
from support.fake_job import FakeJob, accepted


def test_an_image_of_a_patient_in_the_folds_that_an_external_patient_has_too_stops_them(tmp_path):
    facts, rows = [], {}
    for patient, use in (("P1", "diagnosis"), ("E1", "external")):
        fact = {"status": "accepted", "digest": "d", "perceptual_hash": "5" * 64, "width": 9, "height": 9}
        path = tmp_path / f"{patient}.facts.json"
        path.write_text(json.dumps({f"{patient}-OM": fact}))
        facts.append(accepted("register", patient, path))
        rows[f"{patient}-OM"] = {"patient": patient, "person": patient, "use": use}
    job = FakeJob("cohort", settings=EligibilitySettings(), rows={"patients": [], "images": rows}, facts=facts)
    job.seed = 1
    with pytest.raises(NephroscaleError, match=r"E1-OM of E1 \(external\) and P1-OM of P1 \(diagnosis\)"):
        STAGE.make(job)
