from types import SimpleNamespace

import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.stages.external import LEDGER, describe_opening, open_external, read_opening
from nephroscale.stages.predict import STAGE

NOW, LATER = "2026-03-01T10:00:00Z", "2026-04-01T10:00:00Z"


def study(folder, *, label="MN", digest="ab", external="locked", use="external"):
    case = SimpleNamespace(id="E1", use=use, label=label, second=None)
    return SimpleNamespace(
        config=SimpleNamespace(
            data=SimpleNamespace(patients=str(folder / "patients.csv")),
            report=SimpleNamespace(headline="cmusnet"),
            predict=SimpleNamespace(external=external, models=("cmusnet",)),
        ),
        patients=["E1"],
        cohort=SimpleNamespace(patients={"E1": case}),
        package=None,
        receipt=lambda stage, unit: digest and SimpleNamespace(digest=digest),
    )


def test_external_patients_are_opened_once(tmp_path):
    plan = study(tmp_path)
    assert STAGE.units(plan) == []
    assert open_external(plan, NOW, 0) == ((NOW, 0), True)
    assert open_external(plan, LATER, 3) == ((NOW, 0), False)
    assert STAGE.units(plan) == ["cmusnet/external"]
    assert describe_opening(plan) == "first opened on 2026-03-01"
    assert "E1" not in (tmp_path / LEDGER).read_text()


def test_a_deleted_ledger_is_unknown_and_never_a_first_look(tmp_path):
    plan = study(tmp_path)
    open_external(plan, NOW, 0)
    (tmp_path / LEDGER).unlink()
    assert describe_opening(plan).startswith("unknown")
    open_external(plan, LATER, 2)
    assert describe_opening(plan) == "opened on 2026-04-01, after 2 configurations had been scored on them"


@pytest.mark.parametrize("change", [{"label": "IgAN"}, {"digest": "cd"}])
def test_other_labels_or_images_are_not_opened(tmp_path, change):
    open_external(study(tmp_path), NOW, 0)
    assert read_opening(study(tmp_path, **change)) is None
    assert read_opening(study(tmp_path)) is not None


def test_without_a_lock_they_are_predicted_and_the_report_says_unknown(tmp_path):
    plan = study(tmp_path, external="open")
    assert STAGE.units(plan) == ["cmusnet/external"]
    assert describe_opening(plan).startswith("unknown")
    assert describe_opening(study(tmp_path, use="diagnosis")) is None


@pytest.mark.parametrize(
    ("change", "message"), [({"use": "diagnosis"}, "no external patients"), ({"digest": None}, "registered")]
)
def test_what_cannot_be_opened_is_refused(tmp_path, change, message):
    with pytest.raises(NephroscaleError, match=message):
        open_external(study(tmp_path, **change), NOW, 0)


def test_a_damaged_ledger_is_refused(tmp_path):
    (tmp_path / LEDGER).write_text("{")
    with pytest.raises(NephroscaleError, match="damaged"):
        read_opening(study(tmp_path))
