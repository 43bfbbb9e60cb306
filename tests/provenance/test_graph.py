"""The graph of a mock study: outdated, lost and rejected artifacts, and missing raw files."""

import shutil
from pathlib import Path

import pytest

from nephroscale.engine.plan import Plan
from nephroscale.engine.prepass import settle
from nephroscale.errors import NephroscaleError
from nephroscale.provenance.audit import publish_audit
from nephroscale.provenance.document import make_document
from nephroscale.provenance.graph import read_graph
from nephroscale.provenance.replay import replay
from nephroscale.provenance.sections import counts, verdict
from nephroscale.provenance.status import statuses
from nephroscale.provenance.trace import trace
from nephroscale.stages.registry import stage_table
from nephroscale.store.folder import remove_tree
from nephroscale.store.receipts import Receipt
from nephroscale.store.records import Record

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PATIENT = "P000003"
MADE = {"started": "2026-01-01T00:00:00Z", "seconds": 1.0, "node": "n", "device": "cpu", "peak_mb": 1, "git": None}


def reject(plan, stage, unit, figures, *, recorded):
    receipt = Receipt(stage, unit, "rejected", "no usable image", figures=figures)
    if recorded:
        recipe = plan.examine(plan.stages[stage], unit)
        path = plan.records.path(recipe.digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Record(recipe, receipt, MADE).text())
    plan.receipt_path(stage, unit).write_text(receipt.text())


def states(graph):
    return {artifact.state for artifact in graph}


def test_recorded_digests_are_used_where_raw_files_are_missing(study):
    plan = study()
    assert states(read_graph(plan)) == {"current"}
    shutil.rmtree("raw")
    plan = study()
    graph = read_graph(plan)
    assert states(graph) == {"current"}
    register = graph.artifacts["register", PATIENT]
    assert len(register.because) == 1
    assert "of its raw files are missing now" in register.because[0]
    assert [artifact.receipt.stage for artifact in graph if artifact.because] == ["register"] * 9
    assert all(need.value != "None" and len(need.value) == 64 for need in register.inputs)
    assert register.because[0] in trace(graph, ("report", "cohort"), everything=True)
    document = make_document(plan, graph)
    sentences = verdict(counts(document, statuses(document["artifacts"])), None).sentences
    assert any("Raw files of 9 patients are missing now" in sentence for sentence in sentences)
    figures = publish_audit(study())
    assert figures["states"] == {"current": figures["artifacts"]}


def test_a_missing_raw_file_is_named_and_stops_everything_but_the_audit(study):
    plan = study()
    image = plan.cohort.images_of(PATIENT)[0]
    image.path.unlink()
    graph = read_graph(study())
    assert [(a.name, a.because) for a in graph if a.because] == [
        (f"register/{PATIENT}", [f"its raw file {image.id} is missing now"])
    ]
    with pytest.raises(NephroscaleError, match="The file does not exist"):
        study().examine(plan.stages["register"], PATIENT)
    with pytest.raises(NephroscaleError, match="The file does not exist"):
        settle(study())


def test_without_raw_files_a_change_of_the_tables_is_still_seen(study):
    table = Path("images.csv")
    rows = table.read_text().splitlines(keepends=True)
    new = [row.replace(f"{PATIENT}-TEM2", f"{PATIENT}-TEMX") for row in rows if row.startswith(f"{PATIENT}-TEM2,")]
    table.write_text("".join(rows + new))
    shutil.rmtree("raw")
    artifact = read_graph(study()).artifacts["register", PATIENT]
    assert artifact.state == "outdated"


@pytest.mark.parametrize("lost", ["folds", "report"])
def test_the_audit_is_written_where_an_object_is_lost(study, lost):
    plan = study()
    remove_tree(plan.object_path(lost, "cohort"))
    graph = read_graph(plan := study())
    assert [artifact.name for artifact in graph if artifact.state == "lost"] == [f"{lost}/cohort"]
    assert make_document(plan, graph)["metrics"] is None
    if lost == "folds":
        key = ("train", plan.units("train")[0])
        assert graph.artifacts[key].because == ["one of its inputs is not made, or lost"]
        with pytest.raises(NephroscaleError, match="its input folds/cohort is lost"):
            replay(plan, graph, key)


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


def test_outdated_rejections_of_jobs_are_outdated(study):
    unit = f"{PATIENT}-OM"
    reject(study(), "features", unit, {"because": f"glomeruli/{PATIENT}-OM0"}, recorded=True)
    config = study().config.to_mapping()
    config["features"]["om_glomeruli"] = 7
    artifact = read_graph(Plan(config, stage_table(), scripts=ROOT / "scripts")).artifacts["features", unit]
    assert artifact.state == "outdated"
    assert any("om_glomeruli" in text for text in artifact.because)
