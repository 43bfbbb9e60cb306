import json
import re
import subprocess

import pytest

from nephroscale.provenance.page import SCRIPTS, TEMPLATES, duration, render_page
from nephroscale.provenance.page_data import CHUNK, drop_nulls, page_data, safe_json
from nephroscale.provenance.recipe_diff import differences
from nephroscale.provenance.sections import CONSEQUENCES, counts, mismatches, verdict
from nephroscale.provenance.status import ancestors_of_model, patients, statuses
from nephroscale.provenance.tables import CORE_WATTS, GPU_WATTS, costs, runs, weights
from nephroscale.store.recipe import Recipe
from support.accessibility import find_chromium, find_violations

STAGES = ("register", "tiles", "features", "folds", "train", "evaluate", "report")
EVIL = "<script>alert(1)</script>\u2028<!-- & \"'"


def entry(name, inputs=(), **changes):
    stage, _, unit = name.partition("/")
    first = {"started": "2026-01-01T10:00:00Z", "seconds": 2.5, "node": "n1", "device": "cpu AVX2", "peak_mb": 100}
    return {
        "name": name,
        "stage": stage,
        "unit": unit,
        "status": "accepted",
        "reason": None,
        "digest": (stage[:1] + unit).encode().hex().ljust(64, "0")[:64],
        "kind": "directory",
        "size": 1234,
        "figures": {"n": 1},
        "state": "current",
        "because": [],
        "recipe": f"{stage}{unit}".encode().hex().ljust(64, "f")[:64],
        "code": 0,
        "packages": 0,
        "settings": 0,
        "compute": 0,
        "rows": {"id": unit, "stain": None},
        "seed": None,
        "made": {**first, "git": "a" * 40, "run": "2026-01-01T09:00:00Z"},
        "inputs": [list(need) for need in inputs],
        "repeats": [],
        **changes,
    }


def make_document(**changes):
    """The artifacts from one patient to the report; `changes` maps a name, or a key of the document, to its changes."""
    raw = [["P1-OM", "1" * 64, None], ["P1-TEM1", "b" * 64, None]]
    artifacts = [
        entry("register/P1", raw),
        entry("register/P2", [["P2-OM", "2" * 64, None]]),
        entry("tiles/P1-OM", [["register/P1#P1-OM", "3" * 64, 0]]),
        entry("features/P1-OM", [["tiles/P1-OM", "4" * 64, 2]]),
        entry("folds/cohort", [["features/P1-OM#status", "accepted", 3]]),
        entry("train/cmusnet/fold0-seed1", [["features/P1-OM", "5" * 64, 3], ["folds/cohort#fold0", "6" * 64, 4]]),
        entry("evaluate/cmusnet/fold0-seed1", [["train/cmusnet/fold0-seed1", "7" * 64, 5]]),
        entry("report/cohort", [["register/P2#receipt", "8" * 64, 1], ["evaluate/cmusnet/fold0-seed1", "9" * 64, 6]]),
    ]
    for artifact in artifacts:
        artifact.update(changes.pop(artifact["name"], {}))
    figures = {"value": 0.75, "low": 0.5, "high": 0.9}
    return {
        "format": 1,
        "title": "A cohort",
        "headline": [],
        "metrics": {
            "headline": "cmusnet",
            "models": {"cmusnet": {"patients": 9, "people": 8, "pooled": {"macro_auc": figures}}},
        },
        "stages": [{"name": name, "rule": f"make_{name}", "script": f"make_{name}.py", "after": []} for name in STAGES],
        "artifacts": artifacts,
        "shared": {
            "code": [{"make.py": "c" * 64}, {"make.py": "d" * 64}],
            "packages": [{"numpy": "2.0.0"}, {"numpy": "2.1.0"}],
            "settings": [{"encoders": {"OM": {"name": "swin-b", "digest": "e" * 64}}}],
            "compute": [{"threads": 1}],
        },
        "runs": [{"run": "2026-01-01T09:00:00Z", "made": {"tiles": 1}, "artifacts": 8, "seconds": 20.0}],
        "missing": [],
        "conflicts": [],
        "excluded": [],
        "elsewhere": [],
        "looks": {},
        **changes,
    }


def faulty_document():
    later = {"made": {**entry("a/b")["made"], "node": "n2"}, "agrees": False, "digest": "0ff" * 20, "reason": None}
    nothing = dict.fromkeys(("recipe", "code", "packages", "settings", "compute", "rows"))
    return make_document(
        **{
            "register/P1": {"state": "outdated", "because": ["make.py was edited", "the input P1-OM changed (abc)"]},
            "register/P2": {"state": "unrecorded", "made": {}, "inputs": [], **nothing},
            "tiles/P1-OM": {"status": "rejected", "reason": EVIL, "digest": None, "kind": None, "size": 0},
            "features/P1-OM": {
                "state": "lost",
                "because": ["its object is not in the store"],
                "packages": 1,
                "code": 1,
            },
            "train/cmusnet/fold0-seed1": {"repeats": [later]},
            "evaluate/cmusnet/fold0-seed1": {"made": {**entry("a/b")["made"], "git": "b" * 40 + "+", "run": "later"}},
        },
        conflicts=[5],
        missing=["evaluate/cmusnet/fold1-seed1"],
        excluded=[{"what": "patient P9", "reason": EVIL, "by": "Dr. Who"}],
        elsewhere=[
            {
                "artifact": "train/cmusnet/fold0-seed1",
                "device": "cuda Some GPU",
                "compute": {},
                "equal": False,
                "within": False,
                "largest": 0.5,
                "sentence": "1 files differ, numbers by at most 0.5",
            }
        ],
        looks={"0": 3},
        title=EVIL,
    )


def test_an_invalid_ancestor_makes_a_status_outdated_upstream():
    found = statuses(faulty_document()["artifacts"])
    assert found == [
        "outdated",
        "unrecorded",
        "outdated_upstream",
        "lost",
        "outdated_upstream",
        "outdated_upstream",
        "outdated_upstream",
        "outdated_upstream",
    ]
    assert set(statuses(make_document()["artifacts"])) == {"match"}


def test_a_rejection_is_no_invalid_ancestor():
    changed = {"tiles/P1-OM": {"status": "rejected", "reason": "blurred"}, "features/P1-OM": {"state": "follows"}}
    found = statuses(make_document(**changed)["artifacts"])
    assert found[2:5] == ["rejected", "follows", "match"]


def test_ancestors_of_a_model_exclude_other_inputs_of_the_report():
    artifacts = make_document()["artifacts"]
    assert {artifacts[place]["name"] for place in ancestors_of_model(artifacts, "cmusnet")} == {
        artifact["name"] for artifact in artifacts if artifact["name"] != "register/P2"
    }
    assert ancestors_of_model(artifacts, "cmus") == {7}


def test_an_artifact_of_one_patient_names_the_patient():
    document = make_document()
    assert patients(document["artifacts"])[:4] == ["P1", "P2", "P1", "P1"]
    assert patients(document["artifacts"])[-1] is None


def test_reasons_are_grouped_and_consequences_come_last():
    artifacts = [
        {
            "name": f"tiles/{n}",
            "stage": "tiles",
            "state": "outdated",
            "because": [f"the input register/P{n}#x changed (ab{n})", "a.py was edited"],
        }
        for n in range(3)
    ]
    groups, numbers = mismatches(artifacts)
    assert [(group.text, group.artifacts) for group in groups] == [("a.py was edited", 3), (CONSEQUENCES, 3)]
    assert set(numbers.values()) == {0, 1}


@pytest.mark.parametrize(("before", "after"), [({"a/b": "1"}, {"a/b": "2"}), ({}, {"a/b": "2"}), ({"a/b": "1"}, {})])
def test_consequences_are_recognized_by_their_sentences(before, after):
    texts = [change.text for change in differences(Recipe("x", inputs=before), Recipe("x", inputs=after))]
    groups, _ = mismatches([{"name": "x/y", "stage": "x", "state": "outdated", "because": texts}])
    assert [group.text for group in groups] == [CONSEQUENCES]


def test_the_verdict_counts_invalid_artifacts_behind_the_headline():
    document = faulty_document()
    page = render_page(document)
    number = counts(document, statuses(document["artifacts"]))
    assert (
        number["outdated"],
        number["lost"],
        number["outdated_upstream"],
        number["missing"],
        number["uncommitted"],
    ) == (
        1,
        1,
        5,
        1,
        1,
    )
    assert "7 of the 7 artifacts behind the headline figures (cmusnet) are affected" in page
    valid = verdict(counts(make_document(), ["match"] * 8), None)
    assert valid.valid
    assert "Every artifact matches" in render_page(make_document())
    assert "9 cases of 8 patients" in page


def test_a_run_lists_artifacts_reused_from_earlier_runs():
    document = make_document(**{"report/cohort": {"made": {**entry("a/b")["made"], "run": "B"}}})
    document["runs"].append({"run": "B", "made": {"report": 1}, "artifacts": 1, "seconds": 1})
    newest, oldest = runs(document)
    assert newest.reused == {"2026-01-01T09:00:00Z": 2}
    assert oldest.reused == {}


def test_weights_are_found_in_settings():
    found = weights(make_document())
    assert {(row.name, row.digest) for row in found} == {("swin-b", "e" * 64)}
    assert sum(row.artifacts for row in found) == 8
    assert ("register, OM", "swin-b", "e" * 64, 2) in found


def test_an_audit_without_names_of_machines_has_no_column_of_nodes():
    document = make_document()
    assert '<th scope="col">Nodes</th>' in render_page(document)
    for artifact in document["artifacts"]:
        if artifact["made"]:
            artifact["made"].pop("node")
    page = render_page(document)
    assert "Devices and instruction sets" in page
    assert '<th scope="col">Nodes</th>' not in page


def test_the_page_shows_every_kind_of_fault():
    page = render_page(faulty_document())
    for text in (
        "make.py was edited",
        CONSEQUENCES,
        "its object is not in the store",
        "first outcome (kept)",
        "0ff" * 4,
        "evaluate/cmusnet/fold1-seed1",
        "Dr. Who",
        "beyond tolerance",
        "cuda Some GPU",
        "Configurations scored on its test patients",
        "several versions",
        "different versions of 1 code file",
        "e" * 64,
        "bbbbbbbbbbbb+",
    ):
        assert text in page, text
    sections = re.findall(r'<section id="([a-z]+)"', page)
    assert sections == ["numbers", "explore", "mismatches", "conflicts", "excluded", "looks", "runs", "costs",
                        "machines", "weights", "environments", "reading"]  # fmt: skip


def test_an_empty_document_has_a_page():
    empty = make_document(artifacts=[], runs=[], metrics=None, shared={k: [] for k in make_document()["shared"]})
    page = render_page(empty)
    assert "Nothing has been made yet." in page
    assert "There is no report yet." in page


def test_what_comes_from_data_is_escaped():
    page = render_page(faulty_document())
    assert "alert(1)" in page
    assert "<script>alert" not in page
    data = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert len(data) == 2
    index, chunk = (json.loads(text) for text in data)
    assert EVIL in index["words"]["reason"]
    assert len(chunk) == 8


def test_safe_json_ends_no_script_and_loses_nothing():
    text = safe_json({"b": EVIL, "a": ["</script>", "é"]})
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == {"b": EVIL, "a": ["</script>", "é"]}


@pytest.mark.slow
def test_the_page_loads_nothing_and_equal_documents_are_equal_pages():
    page = render_page(faulty_document())
    assert page == render_page(faulty_document())
    outside = re.sub(r'"http://www\.w3\.org/2000/svg"', "", page)
    assert not re.search(r"https?://|//cdn|@import|url\(|fetch\(|XMLHttpRequest|\bimport\(", outside)
    assert not re.search(r"<(?:img|iframe|script|link)\b[^>]*\b(?:src|href)=\"(?!data:)", page)
    policy = re.search(r'content="(default-src[^"]*)"', page)[1]
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy


def test_the_program_never_reads_data_as_markup():
    program = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", program)
    assert "</script" not in program


def test_the_page_holds_every_artifact_in_columns():
    document = make_document()
    document["artifacts"] += [
        entry(f"tiles/X{n}", [["register/P1", document["artifacts"][0]["digest"], 0]]) for n in range(CHUNK)
    ]
    index, chunks = page_data(document, statuses(document["artifacts"]), {})
    assert len(index["unit"]) == sum(map(len, chunks)) == CHUNK + 8
    assert index["files"][index["inputs"][0][0] * -1 - 1] == ("P1-OM", "1" * 64, -1)
    assert chunks[0][2][4] == [["P1-OM", "3" * 64]]
    assert chunks[1][-1][4] == [0]
    assert index["loose"] == [4]
    assert index["through"][:4] == [None, None, [0], None]


def test_nulls_are_dropped_from_rows():
    assert drop_nulls({"a": None, "b": [{"c": None, "d": 0}], "e": False}) == {"b": [{"d": 0}], "e": False}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0.04, "0.0 s"), (42, "42 s"), (180, "3 min"), (4800, "80 min"), (9000, "2 h 30 min")],
)
def test_durations_are_formatted_for_people(seconds, text):
    assert duration(seconds) == text


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Open the faulty document's page in a browser; return the rendered page and the messages of the console."""
    program = find_chromium()
    folder = tmp_path_factory.mktemp("page")
    (folder / "index.html").write_text(render_page(faulty_document()), encoding="utf-8")

    def show(address: str) -> str:
        command = [program, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
        command += ["--enable-logging=stderr", "--virtual-time-budget=3000", "--dump-dom"]
        command.append((folder / "index.html").as_uri() + address)
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode or "</html>" not in done.stdout:
            pytest.skip("Chromium does not start here")
        assert "CONSOLE" not in done.stderr, done.stderr
        return done.stdout

    return show


def test_costs_are_summed_by_stage_and_energy_follows_from_time():
    def artifact(stage, **made):
        return {"stage": stage, "made": {"device": "cpu", "seconds": 100.0, **made}}

    records = [
        artifact("tiles", cpu_seconds=360.0, peak_mb=500),
        artifact("tiles", peak_mb=900),
        artifact("train", device="cuda Some GPU", seconds=3600.0, cpu_seconds=3600.0),
        {"stage": "train", "made": {}},
    ]
    tiles, train, total = costs(records)
    assert tiles == ("tiles", 2, 200.0, 360.0, 0, 900, pytest.approx(360 * CORE_WATTS / 3.6e6))
    assert (train.artifacts, train.gpu, train.peak) == (1, 3600.0, None)
    assert train.energy == pytest.approx((CORE_WATTS + GPU_WATTS) / 1000)
    assert (total.stage, total.artifacts, total.seconds) == ("total", 3, 3800.0)
    assert costs([records[-1]]) == []


@pytest.mark.slow
def test_the_page_is_accessible(tmp_path):
    (tmp_path / "index.html").write_text(render_page(faulty_document()), encoding="utf-8")
    assert find_violations(tmp_path / "index.html", tmp_path) == []


@pytest.mark.slow
def test_a_browser_draws_the_lineage_and_shows_the_artifact_of_the_address(browse):
    shown = browse("#train/cmusnet/fold0-seed1")
    panel = re.search(r'<aside id="panel".*?</aside>', shown, re.DOTALL)[0]
    assert "cmusnet/fold0-seed1" in panel
    assert "Conflict." in panel
    assert "cuda Some GPU" in panel
    names = re.findall(r'class="node [^"]*"[^>]*aria-label="([^",]*)', shown)
    assert names == ["train/cmusnet/fold0-seed1", "folds/cohort", "features/P1-OM", "tiles/P1-OM", "register/P1",
                     "raw/P1-OM"]  # fmt: skip


@pytest.mark.slow
def test_a_browser_finds_by_what_is_asked_in_the_address(browse):
    shown = browse("#find?q=P1&state=lost")
    results = re.search(r'<div id="results".*?</table>', shown, re.DOTALL)[0]
    assert "1 result" in results
    assert 'href="#features/P1-OM"' in results
    numbers = browse("#numbers/cmusnet")
    assert "figures of a model" in numbers
    assert 'aria-label="register/P2' not in numbers


def test_a_current_artifact_with_missing_raw_files_is_no_mismatch():
    document = make_document(**{"register/P1": {"because": ["its raw file P1-OM is missing now"]}})
    groups, numbers = mismatches(document["artifacts"])
    assert (groups, numbers) == ([], {})
    found = verdict(counts(document, statuses(document["artifacts"])), None)
    assert found.valid
    assert any("Raw files of 1 patient are missing now" in sentence for sentence in found.sentences)
    assert "its raw file P1-OM is missing now" in render_page(document)
