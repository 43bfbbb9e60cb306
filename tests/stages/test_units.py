"""Text forms of units are read back as they were written."""

from hypothesis import given
from hypothesis import strategies as st

from nephroscale.stages.units import ModelRun, PatientModality, PatientSet

ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]*", fullmatch=True)
models = st.from_regex(r"[a-z0-9][a-z0-9-]*", fullmatch=True)
numbers = st.integers(0, 10**6)


@given(ids, st.sampled_from(["TEM", "OM", "IM"]))
def test_patient_and_modality(patient, modality):
    unit = PatientModality(patient, modality)
    assert PatientModality.parse(str(unit)) == unit
    assert str(unit) == f"{patient}-{modality}"


@given(models, numbers, numbers)
def test_model_run(model, fold, seed):
    unit = ModelRun(model, fold, seed)
    assert ModelRun.parse(str(unit)) == unit
    assert str(unit) == f"{model}/fold{fold}-seed{seed}"


@given(models, st.sampled_from(["external", "new"]))
def test_patient_set(model, patients):
    unit = PatientSet(model, patients)
    assert PatientSet.parse(str(unit)) == unit
    assert str(unit) == f"{model}/{patients}"
