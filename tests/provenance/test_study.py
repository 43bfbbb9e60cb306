"""The audit of a made-up study: of what is not there any more, of paths, and of the code behind the page."""

import shutil
from pathlib import Path

import pytest

from nephroscale.engine.plan import Plan
from nephroscale.errors import NephroscaleError
from nephroscale.provenance.audit import publish_audit
from nephroscale.provenance.document import make_document
from nephroscale.provenance.find import find_artifact
from nephroscale.provenance.graph import read_graph
from nephroscale.provenance.replay import replay
from nephroscale.provenance.sections import tally, verdict
from nephroscale.provenance.status import standings
from nephroscale.provenance.trace import trace
from nephroscale.store.objects import remove_tree
from nephroscale.store.receipts import Receipt
from nephroscale.store.records import seal
from support.mock_study import Study

ROOT = Path(__file__).resolve().parents[2]
PATIENT = "P000003"
IMAGES = [("OM", "PASM", ""), ("IM", "", "IgG"), ("TEM", "", ""), ("TEM", "", "")]
MADE = {"started": "2026-01-01T00:00:00Z", "seconds": 1.0, "node": "n", "device": "cpu", "peak_mb": 1, "git": None}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Nine patients with everything made."""
    return Study.make(tmp_path_factory.mktemp("study"), images=IMAGES)


@pytest.fixture
def study(made, tmp_path, monkeypatch):
    """A copy, and a function that opens its plan as a new command does."""
    copy = made.copy_to(tmp_path / "copy")
    monkeypatch.chdir(copy.folder)
    return copy.plan


def states(graph):
    return {artifact.state for artifact in graph}


def test_the_page_s_code_is_behind_the_audit(study):
    plan = study()
    code, packages = plan.code.closure("write_audit.py", plan.stages["audit"].modules(plan, "cohort"))
    names = {f"nephroscale/provenance/{name}.py" for name in ("page", "sections", "embed", "standing")}
    assert names <= code.keys()
    assert "nephroscale/provenance/templates/panel.js" in code
    assert {name.lower() for name in packages} >= {"jinja2", "markupsafe"}


def test_without_its_raw_files_a_run_is_judged_by_what_is_recorded(study):
    plan = study()
    assert states(read_graph(plan)) == {"current"}
    shutil.rmtree("raw")
    plan = study()
    graph = read_graph(plan)
    assert states(graph) == {"current"}
    told = graph.artifacts["register", PATIENT]
    assert len(told.because) == 1
    assert "of its raw files are not there now" in told.because[0]
    assert [artifact.receipt.stage for artifact in graph if artifact.because] == ["register"] * 9
    assert all(need.value != "None" and len(need.value) == 64 for need in told.inputs)
    assert told.because[0] in trace(graph, ("report", "cohort"), everything=True)
    document = make_document(plan, graph)
    sentences = verdict(tally(document, standings(document["artifacts"])), None)["sentences"]
    assert any("Raw files of 9 patients are not there now" in sentence for sentence in sentences)
    receipt = publish_audit(study())
    assert receipt.figures["states"] == {"current": receipt.figures["artifacts"]}


def test_one_raw_file_that_is_not_there_is_named_and_no_other_purpose_does_without_it(study):
    plan = study()
    image = plan.cohort.images_of(PATIENT)[0]
    image.path.unlink()
    graph = read_graph(study())
    assert [(a.name, a.because) for a in graph if a.because] == [
        (f"register/{PATIENT}", [f"its raw file {image.id} is not there now"])
    ]
    with pytest.raises(NephroscaleError, match="There is no such file"):
        study().examine(plan.stages["register"], PATIENT)
    with pytest.raises(NephroscaleError, match="There is no such file"):
        study().settle()


def test_without_raw_files_a_change_of_the_tables_is_still_seen(study):
    table = Path("images.csv")
    rows = table.read_text().splitlines(keepends=True)
    new = [row.replace(f"{PATIENT}-TEM2", f"{PATIENT}-TEMX") for row in rows if row.startswith(f"{PATIENT}-TEM2,")]
    table.write_text("".join(rows + new))
    shutil.rmtree("raw")
    artifact = read_graph(study()).artifacts["register", PATIENT]
    assert artifact.state == "stale"


def test_an_artifact_is_found_by_the_path_of_its_receipt_or_link(study, tmp_path):
    plan = study()
    graph = read_graph(plan)
    key = ("features", f"{PATIENT}-TEM")
    (tmp_path / "elsewhere").symlink_to(tmp_path / "copy")
    for path in (plan.receipt_path(*key), plan.link_path(*key)):
        assert find_artifact(plan, graph, f"./{path}") == key
        assert find_artifact(plan, graph, str(path.absolute())) == key
        assert find_artifact(plan, graph, str(tmp_path / "elsewhere" / path)) == key
    assert find_artifact(plan, graph, str(plan.receipt_path("report", "cohort").absolute())) == ("report", "cohort")
    with pytest.raises(NephroscaleError, match="No artifact of this run"):
        find_artifact(plan, graph, str(tmp_path / "other" / f"features/{PATIENT}-TEM.json"))


def test_a_replay_says_which_input_is_lost(study):
    plan = study()
    remove_tree(plan.object_path("tem", PATIENT))
    plan = study()
    with pytest.raises(NephroscaleError, match=f"its input tem/{PATIENT} is lost") as told:
        replay(plan, read_graph(plan), ("features", f"{PATIENT}-TEM"))
    assert "Run the workflow again" in str(told.value)


def test_a_replay_says_which_raw_file_is_not_there(study):
    shutil.rmtree("raw")
    plan = study()
    with pytest.raises(NephroscaleError, match=f"a raw file of {PATIENT}-OM0 is not there now"):
        replay(plan, read_graph(plan), ("tiles", f"{PATIENT}-OM0"))


@pytest.mark.parametrize("lost", ["folds", "report"])
def test_a_lost_object_that_decides_others_is_told_and_the_audit_is_written(study, lost):
    plan = study()
    remove_tree(plan.object_path(lost, "cohort"))
    graph = read_graph(plan := study())
    assert [artifact.name for artifact in graph.in_state("lost")] == [f"{lost}/cohort"]
    assert make_document(plan, graph)["metrics"] is None
    if lost == "folds":
        key = ("train", plan.units("train")[0])
        assert graph.artifacts[key].because == ["something that it depends on is not made, or lost"]
        with pytest.raises(NephroscaleError, match="its input folds/cohort is lost"):
            replay(plan, graph, key)


def reject(plan, stage, unit, figures, *, recorded):
    receipt = Receipt(stage, unit, "rejected", "no usable image", figures=figures)
    if recorded:
        recipe = plan.examine(plan.stages[stage], unit)
        path = plan.records.path(recipe.digest)
        record = {"recipe": recipe.digest, "parts": recipe, "receipt": receipt.as_json(), "made": MADE}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(seal(record))
    plan.receipt_path(stage, unit).write_text(receipt.text())


def test_a_rejection_found_by_a_job_leads_to_what_it_was_made_from(study):
    image, unit = f"{PATIENT}-OM0", f"{PATIENT}-OM"
    reject(study(), "glomeruli", image, {}, recorded=True)
    reject(study(), "features", unit, {"because": f"glomeruli/{image}"}, recorded=True)
    graph = read_graph(study())
    artifact = graph.artifacts["features", unit]
    assert (artifact.state, artifact.because) == ("follows", [])
    assert artifact.made == MADE
    assert ("glomeruli", image) in {need.artifact for need in artifact.inputs}
    text = trace(graph, artifact.key)
    assert f"tiles/{image}" in text
    assert "rejected  raw" not in text


def test_a_rejection_without_a_job_leads_to_its_cause(study):
    image = f"{PATIENT}-OM0"
    reject(study(), "tiles", image, {}, recorded=True)
    reject(study(), "glomeruli", image, {"because": f"tiles/{image}"}, recorded=False)
    artifact = read_graph(study()).artifacts["glomeruli", image]
    assert (artifact.state, artifact.record) == ("follows", None)
    assert [need.artifact for need in artifact.inputs] == [("tiles", image)]


def test_stale_rejections_of_jobs_are_stale(study):
    unit = f"{PATIENT}-OM"
    reject(study(), "features", unit, {"because": f"glomeruli/{PATIENT}-OM0"}, recorded=True)
    config = study().config
    config["features"]["om_glomeruli"] = 7
    artifact = read_graph(Plan(config, scripts=ROOT / "scripts")).artifacts["features", unit]
    assert artifact.state == "stale"
    assert any("om_glomeruli" in text for text in artifact.because)
