"""The audit, traces, differences and replays of a finished project."""

import json
import shutil
from dataclasses import replace

import pytest

from nephroscale.store.records import Record

pytestmark = pytest.mark.workflow


def document(project):
    return json.loads((project.path / "results/tiny/audit/audit.json").read_text())


def test_every_artifact_of_a_finished_run_is_current(made):
    audit = document(made)
    assert {entry["state"] for entry in audit["artifacts"]} == {"current"}
    receipts = made.receipts()
    assert {entry["name"] for entry in audit["artifacts"]} == {
        name.removesuffix(".json") if "/" in name else name.replace(".json", "/cohort") for name in receipts
    }
    assert audit["conflicts"] == []
    assert audit["missing"] == []
    assert [run["artifacts"] for run in audit["runs"]] == [len(receipts)]


def test_each_headline_number_leads_back_to_every_raw_file_of_the_cohort(made):
    audit = document(made)
    place = {entry["name"]: index for index, entry in enumerate(audit["artifacts"])}
    pending, seen, raw = [place["report/cohort"]], set(), set()
    while pending:
        index = pending.pop()
        if index not in seen:
            seen.add(index)
            for label, _, other in audit["artifacts"][index]["inputs"]:
                if other is None:
                    raw.add(label)
                else:
                    pending.append(other)
    rows = (made.path / "config/tiny/images.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert {row.split(",")[0] for row in rows} <= raw
    assert len(seen) == len(audit["artifacts"])


def test_a_trace_goes_from_weights_to_raw_files(made):
    code, text = made.nephroscale("trace", "results/tiny/train/cmusnet/fold0-seed1", "--all")
    assert code == 0
    assert text.startswith("train/cmusnet/fold0-seed1")
    for word in ("features/", "tem/", "tiles/", "register/", "-TEM1", "raw", "segmenter/cohort"):
        assert word in text
    code, text = made.nephroscale("trace", "features/P77-TEM")
    assert code != 0
    assert "No artifact of this run" in text


def test_a_replay_agrees_and_leaves_nothing_behind(project):
    before = project.runs()
    code, text = project.nephroscale("replay", "tem/P01")
    assert (code, "recomputed, equal" in text) == (0, True)
    assert project.runs() == before
    assert list((project.path / "store/tmp").iterdir()) == []


def test_a_replay_with_other_bytes_reports_their_distance(project):
    # The record of P01's bag is changed to name the object of P02.
    digests = [project.receipt(f"tem/{patient}")["digest"] for patient in ("P01", "P02")]
    records = [path for path in project.path.glob("store/records/*/*.json") if digests[0] in path.read_text()]
    for path in [*records, project.path / "results/tiny/tem/P01.json"]:
        if '"stage": "tem"' in path.read_text():
            text = path.read_text().replace(digests[0], digests[1])
            if path in records:
                record = Record.from_text(path.read_bytes())
                text = replace(record, receipt=replace(record.receipt, digest=digests[1])).text()
            path.write_text(text)
    code, text = project.nephroscale("replay", "tem/P01")
    assert code == 1
    assert f"stored: {digests[1]}" in text
    assert f"now:    {digests[0]}" in text
    assert "files differ" in text


def test_an_audit_of_edited_code_lists_outdated_artifacts_with_reasons(project):
    with (project.path / "scripts/nephroscale/tem/clean.py").open("a") as stream:
        stream.write("\nREMARK = 1\n")
    code, text = project.nephroscale("audit")
    assert code == 1
    assert "6 outdated" in text
    outdated = {
        entry["name"]: entry["because"] for entry in document(project)["artifacts"] if entry["state"] == "outdated"
    }
    assert set(outdated) == {f"tem/P0{n}" for n in range(1, 7)}
    assert outdated["tem/P01"] == ["nephroscale/tem/clean.py was edited"]
    code, text = project.nephroscale("replay", "tem/P01")
    assert code == 1
    assert "clean.py was edited" in text


def test_a_lost_object_is_reported_as_lost(project):
    receipt = project.receipt("tem/P02")
    folder = project.path / "store/objects" / receipt["digest"][:2] / receipt["digest"]
    (project.path / "gone").mkdir()
    folder.chmod(0o700)
    folder.rename(project.path / "gone" / "object")
    code, _ = project.nephroscale("audit")
    assert code == 1
    assert [entry["name"] for entry in document(project)["artifacts"] if entry["state"] == "lost"] == ["tem/P02"]


def test_without_raw_files_audit_and_trace_use_records_and_a_run_fails(project):
    (project.path / "demo").rename(project.path / "tape")
    path = project.path.resolve() / "results/tiny/features/P01-TEM.json"
    code, text = project.nephroscale("trace", str(path))
    assert (code, text.splitlines()[0].split()[0]) == (0, "features/P01-TEM")
    assert "of its raw files are missing now" in text
    code, text = project.nephroscale("audit")
    assert (code, "outdated" in text) == (0, False), text
    audit = document(project)
    assert {entry["state"] for entry in audit["artifacts"]} == {"current"}
    assert {entry["stage"] for entry in audit["artifacts"] if entry["because"]} == {"register"}
    assert "are missing now" in (project.path / "results/tiny/audit/index.html").read_text(encoding="utf-8")
    code, text = project.nephroscale("replay", "features/P01-TEM")
    assert (code, "recomputed, equal" in text) == (0, True), text
    run = project.run()
    assert run.code != 0
    assert "the folder data.root" in run.output
    (project.path / "tape").rename(project.path / "demo")
    (project.path / "demo/tiny/om/P01.svs").unlink()
    run = project.run()
    assert run.code != 0
    assert "P01.svs" in run.output


def test_edited_code_of_the_page_recomputes_the_audit(project):
    project.edit("scripts/nephroscale/provenance/sections.py", "Every artifact matches", "Each artifact matches")
    run = project.run()
    assert run.code == 0, run.output
    assert "Each artifact matches" in (project.path / "results/tiny/audit/index.html").read_text(encoding="utf-8")
    assert project.run().idle


def test_a_replay_names_a_lost_input(project):
    receipt = project.receipt("tem/P01")
    folder = project.path / "store/objects" / receipt["digest"][:2] / receipt["digest"]
    folder.chmod(0o700)
    folder.rename(project.path / "gone")
    code, text = project.nephroscale("replay", "features/P01-TEM")
    assert code == 1
    assert "its input tem/P01 is lost" in text
    assert "Traceback" not in text


def test_a_changed_key_reruns_the_stages_that_read_it_a_difference_names_it_and_the_old_value_reruns_nothing(project):
    shutil.rmtree(project.path / ".snakemake")  # the change is found without Snakemake's own metadata
    project.edit("config/tiny.yaml", "epochs: 4", "epochs: 2")
    run = project.run()
    assert run.code == 0, run.output
    assert {unit.partition("/")[0] for unit in run.computed} == {"train", "temperature", "evaluate", "report"}
    hit = project.run("report", config=("results=results/other",))
    assert (hit.code, hit.computed) == (0, []), hit.output
    project.edit("config/tiny.yaml", "epochs: 2", "epochs: 4")
    run = project.run()
    assert run.idle
    assert run.computed == []
    code, text = project.nephroscale("diff", "results/tiny", "results/other")
    assert code == 0
    assert "config: the configuration train.epochs: 4 changed to 2" in text
    assert "first in train of" in text
    assert "tem of" not in text
    uses = json.loads((project.path / "results/other/report/metrics.json").read_text())["cohort"]["looks"]
    assert uses == {"0": 4, "1": 4}
    page = (project.path / "results/other/report/index.html").read_text()
    assert "4 configurations have been scored on the test folds" in page
    # The number of the first run does not change.
    assert json.loads((project.path / "results/tiny/report/metrics.json").read_text())["cohort"]["looks"] == {
        "0": 2,
        "1": 2,
    }
