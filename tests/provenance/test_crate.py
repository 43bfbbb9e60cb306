"""The crate of a small mock audit: its content, and the verdicts of the validator and of runcrate."""

import json
from collections import defaultdict

import pytest

from nephroscale.provenance.crate import METADATA, write_crate
from nephroscale.store.digest import digest_bytes

MADE = {
    "started": "2026-03-01T10:00:00Z",
    "seconds": 1.25,
    "node": "machine-of-someone",
    "device": "cpu x86_64 AVX512",
    "peak_mb": 132,
    "git": "0" * 40,
    "run": "2026-03-01T09:59:00Z",
}


def digest(text):
    return digest_bytes(text.encode())


def artifact(name, inputs=(), **given):
    stage, unit = name.split("/", 1)
    accepted = given.get("status", "accepted") == "accepted"
    return {
        "name": name,
        "stage": stage,
        "unit": unit,
        "status": "accepted",
        "reason": None,
        "digest": digest(name) if accepted else None,
        "kind": "directory" if accepted else None,
        "size": 1000 + len(name) if accepted else 0,
        "figures": {},
        "state": "current",
        "because": [],
        "recipe": digest(f"recipe of {name}"),
        "code": 0,
        "packages": 0,
        "settings": 0,
        "compute": 0,
        "rows": {"P1": {"grade": 2}},
        "seed": 7,
        "made": MADE,
        "inputs": [list(each) for each in inputs],
        "repeats": [],
        **given,
    }


@pytest.fixture
def document():
    raw = [["P1-OM", digest("raw P1-OM"), None], ["P1-OM.annotation", digest("note"), None]]
    artifacts = [
        artifact("register/P1", raw, kind="file"),
        artifact(
            "register/P2", [["P2-OM", digest("raw P2-OM"), None]], kind="file", state="outdated", because=["edited"]
        ),
        artifact(
            "tiles/P1-OM",
            [["register/P1#P1-OM", digest("part"), 0], ["reference", digest("a file of the group's"), None]],
            repeats=[
                {"made": {**MADE, "started": "2026-03-02T10:00:00Z", "run": "2026-03-02T09:00:00Z"}, "agrees": True},
                {
                    "made": {**MADE, "started": "2026-03-03T10:00:00Z", "run": "2026-03-03T09:00:00Z"},
                    "agrees": False,
                    "digest": "ab12",
                },
            ],
        ),
        artifact("tiles/P2-OM", [["register/P2", digest("x"), 1]], status="rejected", reason="no tissue was found"),
        artifact("tem/P2", [["tiles/P2-OM", "rejected", 3]], status="rejected", reason="x", recipe=None, made={}),
        artifact("tem/P1", [["tiles/P1-OM", digest("tiles/P1-OM"), 2], ["tiles/P2-OM", "rejected: no tissue", 3]]),
        artifact("tem/P1-again", [], recipe=digest("recipe of tem/P1"), digest=digest("tem/P1")),
        artifact("tem/P3", state="unrecorded", recipe=None, made={}, code=None, packages=None),
    ]
    code = {"nephroscale/one.py": digest("one"), "make.py": digest("make")}
    return {
        "title": "A study of 1 < 2 patients",
        "headline": ["cmusnet: balanced accuracy 0.5 (0.3–0.7)"],
        "metrics": {"format": 1},
        "stages": [
            {"name": "register", "rule": "register_patient", "script": "register_patient.py", "suffix": ".facts.json"},
            {"name": "tiles", "rule": "tile_slide", "script": "tile_slide.py", "suffix": ".ome.zarr"},
            {"name": "tem", "rule": "prepare_tem", "script": "prepare_tem.py", "suffix": ".zarr"},
            {"name": "folds", "rule": "make_folds", "script": "make_folds.py", "suffix": ""},
        ],
        "artifacts": artifacts,
        "shared": {
            "code": [code],
            "packages": [{"numpy": "2.4.6", "python": "3.11.7"}],
            "settings": [{"mpp": 1.0}],
            "compute": [{"threads": 1}],
        },
    }


def write(document, root, out):
    out.mkdir()
    (out / "audit.json").write_text(json.dumps(document))
    count = write_crate(document, root / "workflow", out)
    return out, count


@pytest.fixture
def crate(document, root, tmp_path):
    return write(document, root, tmp_path / "crate")[0]


def entities(crate):
    graph = json.loads((crate / METADATA).read_text(encoding="utf-8"))["@graph"]
    found = {entity["@id"]: entity for entity in graph}
    assert len(found) == len(graph), "an @id is listed twice"
    return found


def many(value):
    return [] if value is None else value if isinstance(value, list) else [value]


def test_every_artifact_is_in_the_crate_with_the_digest_and_size_of_its_receipt(crate, document):
    found = entities(crate)
    described = {
        entity["name"]: (found[entity["identifier"]["@id"]]["value"], entity["contentSize"], entity["@type"])
        for name, entity in found.items()
        if name.startswith("arcp:") and "/raw/" not in name
    }
    assert described == {
        entry["name"]: (entry["digest"], str(entry["size"]), {"directory": "Dataset", "file": "File"}[entry["kind"]])
        for entry in document["artifacts"]
        if entry["digest"]
    }


def test_raw_files_are_named_by_id_and_digest(crate):
    found = entities(crate)
    raw = {
        entity["name"]: found[entity["identifier"]["@id"]]["value"] for name, entity in found.items() if "/raw/" in name
    }
    expected = {"P1-OM": "raw P1-OM", "P1-OM.annotation": "note", "P2-OM": "raw P2-OM"}
    assert raw == {name: digest(text) for name, text in expected.items()}


def test_the_digest_of_a_folder_has_a_term_of_its_own(crate):
    found = entities(crate)
    kinds = {
        entity["@type"]: found[entity["identifier"]["@id"]]["propertyID"]["@id"]
        for name, entity in found.items()
        if name.startswith("arcp:")
    }
    assert kinds["Dataset"] == "#blake3-of-folder"
    assert kinds["File"].endswith("blake3")


def test_files_in_the_folder_are_listed_with_what_they_are(crate):
    found = entities(crate)
    files = {path.relative_to(crate).as_posix() for path in crate.rglob("*") if path.is_file()} - {METADATA}
    assert {"audit.json", "metrics.json", "workflow/Snakefile", "workflow/rules/tiles.smk"} <= files
    for name in files:
        content = (crate / name).read_bytes()
        assert found[name]["contentSize"] == str(len(content))
        assert found[found[name]["identifier"]["@id"]]["value"] == digest_bytes(content)


def test_each_record_is_one_action_with_what_went_in_and_came_out(crate):
    found = entities(crate)
    action = found["#make/tiles/P1-OM"]
    base = next(name for name in found if name.endswith("register/P1.facts.json")).removesuffix(
        "register/P1.facts.json"
    )
    objects = [each["@id"] for each in many(action["object"])]
    assert f"{base}register/P1.facts.json" in objects
    assert {found[name]["name"] for name in objects} == {"register/P1", "reference", "settings", "compute", "seed"}
    assert action["result"] == {"@id": f"{base}tiles/P1-OM.ome.zarr/"}
    assert action["startTime"] == "2026-03-01T10:00:00.000+00:00"
    assert action["endTime"] == "2026-03-01T10:00:01.250+00:00"
    usage = {found[each["@id"]]["name"]: found[each["@id"]]["value"] for each in action["resourceUsage"]}
    assert usage == {"peak memory": "132", "device": "cpu x86_64 AVX512"}
    assert found[action["instrument"]["@id"]]["name"] == "tile_slide.py"


def test_one_record_that_served_two_units_is_one_action(crate):
    found = entities(crate)
    assert [found[each["@id"]]["name"] for each in found["#make/tem/P1"]["result"]] == ["tem/P1", "tem/P1-again"]
    assert "#make/tem/P1-again" not in found


def test_a_rejection_is_a_failed_action_and_an_inherited_one_is_none(crate):
    found = entities(crate)
    rejected = found["#make/tiles/P2-OM"]
    assert rejected["actionStatus"] == "http://schema.org/FailedActionStatus"
    assert rejected["error"] == "no tissue was found"
    assert "result" not in rejected
    assert "#make/tem/P2" not in found
    assert [name for name, entity in found.items() if "error" in entity] == ["#make/tiles/P2-OM"]


def test_later_runs_of_a_recipe_are_actions_of_their_runs(crate):
    found = entities(crate)
    assert found["#make/tiles/P1-OM/again-1"]["result"] == found["#make/tiles/P1-OM"]["result"]
    assert "result" not in found["#make/tiles/P1-OM/again-2"]
    assert "ab12" in found["#make/tiles/P1-OM/again-2"]["description"]
    assert "actionStatus" not in found["#make/tiles/P1-OM/again-2"]
    runs = defaultdict(set)
    for entity in found.values():
        if entity["@type"] == "OrganizeAction":
            for control in many(entity["object"]):
                jobs = many(found[control["@id"]]["object"])
                runs[entity["result"]["@id"]].update(each["@id"] for each in jobs)
    assert runs["#workflow-run-2026-03-02T09:00:00Z"] == {"#make/tiles/P1-OM/again-1"}
    assert len(runs) == 3


def test_an_outdated_artifact_has_its_status_and_reason(crate):
    outdated = next(entity for name, entity in entities(crate).items() if name.endswith("register/P2.facts.json"))
    assert (outdated["creativeWorkStatus"], outdated["description"]) == ("outdated", "edited")


def test_equal_audits_give_equal_crates_without_machine_and_place(document, root, tmp_path, crate):
    again, _ = write(document, root, tmp_path / "again")
    text = (crate / METADATA).read_text(encoding="utf-8")
    assert (again / METADATA).read_text(encoding="utf-8") == text
    assert "machine-of-someone" not in text
    assert str(tmp_path) not in text
    assert str(root) not in text
    assert "grade" not in text
    assert entities(crate)["./"]["datePublished"] == "2026-03-01T10:00:01.250+00:00"


def test_without_a_record_there_is_no_crate(document, root, tmp_path):
    for entry in document["artifacts"]:
        entry.update(recipe=None, made={}, repeats=[])
    out, count = write(document, root, tmp_path / "crate")
    assert count == 0
    assert [path.name for path in out.iterdir()] == ["audit.json"]


@pytest.mark.slow
def test_the_validator_finds_nothing_and_runcrate_reads_it(crate, crate_tools):
    assert crate_tools.faults(crate) == []
    report = crate_tools.report(crate)
    assert report.count("action: ") == 10  # three runs, five records, two repeats
    assert "action: #make/tiles/P1-OM\n  step: #step-tiles\n" in report


@pytest.mark.slow
def test_the_validator_sees_a_crate_that_is_broken(crate, crate_tools):
    path = crate / METADATA
    whole = json.loads(path.read_text(encoding="utf-8"))
    for entity in whole["@graph"]:
        if entity["@type"] == "ControlAction":
            del entity["instrument"]
        if entity["@id"] == "./":
            entity["hasPart"] = [each for each in entity["hasPart"] if "tiles/P1-OM" not in each["@id"]]
    path.write_text(json.dumps(whole), encoding="utf-8")
    (crate / "workflow/Snakefile").unlink()
    faults = crate_tools.faults(crate)
    assert any("workflow/Snakefile" in fault for fault in faults)
    assert any("HowToStep" in fault for fault in faults)
    assert any("RootDataEntity" in fault for fault in faults)  # not reached from the root
