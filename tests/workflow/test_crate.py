"""The crate of a real run is valid and readable, and agrees with the receipts."""

import json

import pytest

pytestmark = pytest.mark.workflow


@pytest.fixture
def crate(made):
    return made.path / "results/tiny/audit"


def test_it_names_every_artifact_with_the_digest_and_size_of_its_receipt(made, crate):
    found = {entity["@id"]: entity for entity in json.loads((crate / "ro-crate-metadata.json").read_text())["@graph"]}
    described = {
        (entity["name"], found[entity["identifier"]["@id"]]["value"], entity["contentSize"])
        for name, entity in found.items()
        if name.startswith("arcp:") and "/raw/" not in name
    }
    receipts = [json.loads(text) for text in made.receipts().values()]
    assert described == {
        (f"{receipt['stage']}/{receipt['unit']}", receipt["digest"], str(receipt["size"]))
        for receipt in receipts
        if receipt.get("digest") and receipt["stage"] != "audit"
    }


def test_every_artifact_is_at_its_path_in_the_crate(made, crate):
    for entity in json.loads((crate / "ro-crate-metadata.json").read_text())["@graph"]:
        if entity["@id"].startswith("arcp:") and "/raw/" not in entity["@id"]:
            assert (made.path / "results/tiny" / entity["@id"].split("/", 3)[3]).exists(), entity["@id"]


def test_it_contains_no_path_of_this_machine(made, crate):
    assert str(made.path) not in (crate / "ro-crate-metadata.json").read_text()


def test_the_validator_finds_nothing_and_runcrate_reads_it(crate, crate_tools):
    assert crate_tools.faults(crate) == []
    assert "action: #make/report/cohort\n  step: #step-report\n" in crate_tools.report(crate)
