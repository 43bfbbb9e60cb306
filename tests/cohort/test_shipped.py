import pytest
import yaml

from nephroscale.engine.config import load_config
from nephroscale.errors import NephroscaleError
from support.cohort import load_tables


@pytest.mark.parametrize("name", ["config", "tiny", "demo_panel", "mn_stage"])
def test_every_shipped_configuration_reads_its_tables(name, root, monkeypatch):
    monkeypatch.chdir(root)
    config = load_config(yaml.safe_load((root / f"config/{name}.yaml").read_text()))
    assert load_tables(config.to_mapping()).patients


def test_the_staging_cohort_drops_no_patient_silently(root, monkeypatch):
    monkeypatch.chdir(root)
    given = yaml.safe_load((root / "config/mn_stage.yaml").read_text())
    cohort = load_tables(given)
    people = [p for p in cohort.patients.values() if p.use == "diagnosis"]
    left_out = [p for p in people if p.status != "eligible"]
    assert {(p.label_text, p.reason) for p in left_out} == {("IV", "the label 'IV' is excluded (task.classes)")}
    assert {p.second for p in people if p.label_text == "I-II"} == {"II"}
    with pytest.raises(NephroscaleError, match=r"'IV' \(2\)"):
        load_tables({**given, "task": "mn_stage"})


def test_the_tables_of_new_patients_read_beside_a_cohort(root, monkeypatch):
    monkeypatch.chdir(root)
    given = yaml.safe_load((root / "config/tiny.yaml").read_text())
    new = {"patients": "config/new/patients.csv", "images": "config/new/images.csv", "root": "demo/new"}
    cohort = load_tables({**given, "predict": new})
    assert [p.id for p in cohort.patients.values() if p.status == "new"] == ["N01", "N02", "N03"]
