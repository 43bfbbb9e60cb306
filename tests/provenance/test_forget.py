"""What is deleted of a patient, and what is left, in a mock study."""

from pathlib import Path

import pytest

from nephroscale.cli import main
from nephroscale.engine.prepass import settle
from nephroscale.provenance.forget import delete_holdings, find_holdings
from nephroscale.store.results_index import objects

pytestmark = pytest.mark.slow

PATIENT, OTHER = "P000003", "P000004"


@pytest.fixture
def held(study):
    """The pre-pass has made links and raw links; a past report and a log name the patient."""
    settle(study())
    plan = study()
    for name, text in {"reports/11/index.html": f"<b>{PATIENT}</b>", "reports/12/index.html": f"{PATIENT}0"}.items():
        (plan.results / name).parent.mkdir(parents=True)
        (plan.results / name).write_text(text)
    for patient in (PATIENT, OTHER):
        log = plan.log_path("tem", patient)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("done")
    return plan


def test_nothing_that_names_the_patient_is_left(held):
    found = find_holdings(held, PATIENT)
    assert not delete_holdings(held, found)
    left = [path for top in (held.results, held.store.path) for path in top.rglob("*")]
    assert not [path for path in left if PATIENT in path.name]
    files = [path for path in left if path.is_file() and path.parent.name != "12"]
    assert not [path for path in files if PATIENT.encode() in path.read_bytes()]
    assert not [path for path in left if path.is_symlink() and not path.exists() and "raw" not in path.parts]
    assert not (held.results / "reports/11").exists()
    assert not (held.results / "reports/1").is_symlink()  # the present report


def test_what_other_patients_have_stays_and_is_not_computed_again(held, study):
    kept = [held.object_path(stage, OTHER) for stage in ("register", "tem")]
    delete_holdings(held, find_holdings(held, PATIENT))
    assert all(path.exists() for path in kept)
    assert (held.results / "reports/12").exists()
    assert held.log_path("tem", OTHER).exists()
    assert (held.results / f"raw/{OTHER}-TEM2").exists()
    plan = study()
    assert plan.look_up(plan.stages["tem"], OTHER) is not None
    assert {plan.receipt("folds", "cohort"), plan.receipt("report", "cohort"), plan.receipt("tem", PATIENT)} == {None}


def test_weights_go_where_the_patient_was_trained_on_and_stay_where_only_tested(held):
    found = find_holdings(held, PATIENT)
    table = held.object_json("folds", "cohort", "folds.json")
    for number, fold in enumerate(table["folds"]):
        trained = PATIENT in [*fold["train"], *fold["validation"]]
        digest = held.receipt("train", f"cmusnet/fold{number}-seed1").digest
        assert (digest in found.objects) == trained
        assert held.receipt("evaluate", f"cmusnet/fold{number}-seed1").digest in found.objects


def test_the_command_lists_before_it_deletes_and_lists_what_stays(held, capsys):
    before = objects(held.store)
    assert main(["forget", PATIENT, "--configfile", "config.yaml"]) == 0
    printed = capsys.readouterr().out
    assert f"objects of tem: {PATIENT} (1)" in printed
    assert "delete the rows of the patient in patients.csv, images.csv" in printed
    assert f"{PATIENT}-OM0.png" in printed
    assert objects(held.store) == before
    assert main(["forget", PATIENT, "--delete", "--configfile", "config.yaml"]) == 0
    assert "Deleted:" in capsys.readouterr().out
    assert len(objects(held.store)) < len(before)
    assert main(["forget", PATIENT, "--configfile", "config.yaml"]) == 0
    assert f"No result and no object contains data of {PATIENT}." in capsys.readouterr().out


def test_an_unknown_patient_is_an_error(held, capsys):
    assert main(["forget", "P9", "--configfile", "config.yaml"]) == 1
    assert "No patient 'P9' is known" in capsys.readouterr().err


def test_nothing_is_deleted_while_a_run_is_going_on(held, capsys):
    lock = Path(".snakemake/locks/0.input.lock")
    lock.parent.mkdir(parents=True)
    lock.touch()
    assert main(["forget", PATIENT, "--delete", "--configfile", "config.yaml"]) == 1
    assert "A run of the workflow" in capsys.readouterr().err
    assert held.receipt_path("tem", PATIENT).exists()
