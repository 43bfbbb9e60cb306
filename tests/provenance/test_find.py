"""Artifacts are found by the paths of their receipts and links."""

import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.provenance.find import find_artifact
from nephroscale.provenance.graph import read_graph

PATIENT = "P000003"


@pytest.mark.slow
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
