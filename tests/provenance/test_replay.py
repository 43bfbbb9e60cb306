"""A replay reports missing inputs before it computes."""

import shutil

import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.provenance.graph import read_graph
from nephroscale.provenance.replay import replay
from nephroscale.store.folder import remove_tree

pytestmark = pytest.mark.slow

PATIENT = "P000003"


def test_a_replay_names_the_lost_input(study):
    plan = study()
    remove_tree(plan.object_path("tem", PATIENT))
    plan = study()
    with pytest.raises(NephroscaleError, match=f"its input tem/{PATIENT} is lost") as error:
        replay(plan, read_graph(plan), ("features", f"{PATIENT}-TEM"))
    assert "Run the workflow again" in str(error.value)


def test_a_replay_names_the_missing_raw_file(study):
    shutil.rmtree("raw")
    plan = study()
    with pytest.raises(NephroscaleError, match=f"a raw file of {PATIENT}-OM0 is missing"):
        replay(plan, read_graph(plan), ("tiles", f"{PATIENT}-OM0"))
