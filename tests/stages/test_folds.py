"""The same image under two patients stops the folds."""

import json
from types import SimpleNamespace

import pytest

from nephroscale.cohort.eligibility import EligibilitySettings
from nephroscale.cohort.patient import PatientRow
from nephroscale.cohort.settings import FoldsSettings
from nephroscale.errors import NephroscaleError
from nephroscale.stages.folds import STAGE
from support.fake_job import FakeJob, accepted


def test_patients_with_one_image_for_a_stated_reason_stay_together(tmp_path):
    cases = {f"P{i}": PatientRow(f"P{i}", "AB"[i % 2]) for i in range(8)}
    facts, rows = [], {}
    for name in ("P1", "P2"):
        fact = {"status": "accepted", "digest": "d", "perceptual_hash": "5" * 64, "width": 9, "height": 9}
        path = tmp_path / f"{name}.facts.json"
        path.write_text(json.dumps({f"{name}-OM": fact}))
        facts.append(accepted("register", name, path))
        rows[f"{name}-OM"] = {"patient": name, "person": name, "use": "diagnosis"}
    rows["P1-OM"] |= {"same_as": "P2-OM", "reason": "control slide"}
    listed = {name: SimpleNamespace(id=name, in_diagnosis=True, reason=None, use="diagnosis", row=lambda r=row: r)
              for name, row in cases.items()}  # fmt: skip
    plan = SimpleNamespace(patients=list(listed), cohort=SimpleNamespace(patients=listed))
    settings = EligibilitySettings(FoldsSettings(n_folds=2), ("A", "B"))
    job = FakeJob("cohort", settings=settings, rows={"images": rows}, plan=plan, facts=facts, features=[])
    job.seed, job.parts, job.out = 1, {}, tmp_path / "out"
    STAGE.make(job)
    table = json.loads((job.out / "folds.json").read_text())
    assert table["groups"] == {"P1": "patient P1", "P2": "patient P1"}
    assert [{"P1", "P2"} & set(fold["test"]) for fold in table["folds"]].count({"P1", "P2"}) == 1


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
