from types import SimpleNamespace

import pytest

from nephroscale.provenance.public import make_public, name_anew, replacer

SECRET = (
    "Zhang",
    "P01",
    "S-77",
    "/data/raw",
    "node7",
    "kidney.svs",
    "1961",
    "north hospital",
    "batch of May",
    "Huang",
    "refused",
)


def cohort():
    case = SimpleNamespace(id="P01-B1", person="P01")
    image = SimpleNamespace(
        patient_id="P01-B1",
        modality="OM",
        path=SimpleNamespace(name="Zhang_San kidney.svs", stem="Zhang_San kidney"),
        annotation=None,
        deposit_outlines=None,
    )
    return SimpleNamespace(patients={"P01-B1": case}, images={"S-77": image}, negatives={"N1": None})


def document():
    artifact = {
        "name": "tiles/S-77",
        "stage": "tiles",
        "unit": "S-77",
        "reason": "Zhang_San kidney.svs: /data/raw/x.svs cannot be read, see C:\\scans\\x.svs",
        "because": ["register/P01-B1 is outdated"],
        "figures": {"dropped": [{"id": "S-77", "count": 3}]},
        "inputs": [["register/P01-B1#S-77", "ab12", 0]],
        "repeats": [{"made": {"node": "node7", "seconds": 2.0}, "reason": "of P01"}],
        "rows": {"birth": "1961"},
        "made": {
            "node": "node7",
            "started": "2026-03-01T10:11:12Z",
            "seconds": 1.0,
            "allocation": {"partition": "node7"},
        },
        "digest": "ab12",
    }
    batch = {**artifact, "stage": "predict", "name": "predict/cmusnet/batch of May", "unit": "cmusnet/batch of May"}
    return {
        "artifacts": [artifact, batch],
        "missing": ["features/P01-B1-OM"],
        "excluded": [
            {"what": "patient P01-B1", "reason": "no OM", "by": "stage folds"},
            {"what": "patient P01-B1", "reason": "Mrs. Zhang refused", "by": "Dr. Huang"},
        ],
        "elsewhere": [],
        "stages": [{"name": "tiles"}, {"name": "predict"}],
        "conflicts": [],
        "shared": {"settings": [{"weights": "kidney weights", "table": "a/b.csv", "name": "swin/base"}]},
        "metrics": {"models": {"cmusnet": {}}, "subgroups": {"site": ["north hospital"]}, "cohort": {"P01": 1}},
    }


def test_no_id_no_path_and_no_host_is_left():
    public = make_public(document(), name_anew(cohort()))
    text = str(public)
    assert public["excluded"][1] == {
        "what": "patient case0001",
        "reason": "stated in the table of patients",
        "by": "table of patients",
    }
    assert not [word for word in SECRET if word in text]
    first, second = public["artifacts"]
    assert first["name"] == "tiles/case0001-OM1"
    assert first["inputs"] == [["register/case0001#case0001-OM1", "ab12", 0]]
    assert first["reason"] == "case0001-OM1: <path> cannot be read, see <path>"
    assert first["made"] == {"started": "2026-03-01", "seconds": 1.0}
    assert second["unit"] == "cmusnet/batch"
    assert public["missing"] == ["features/case0001-OM"]
    assert public["shared"]["settings"] == [{"weights": "<path>", "table": "<path>", "name": "swin/base"}]


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("evaluate/cmusnet/fold0-seed1", "evaluate/cmusnet/fold0-seed1"),
        ("P1 and P11 of ../raw/P1", "A and P11 of <path>"),
        ("~/slides/x", "<path>"),
        ("25 of its 45 tiles, 1/2", "25 of its 45 tiles, 1/2"),
    ],
)
def test_names_are_replaced_as_whole_words(text, public):
    assert replacer({"P1": "A"})(text) == public


def test_the_order_of_artifacts_does_not_follow_the_ids():
    entry = {"figures": {}, "made": None, "repeats": [], "reason": None, "because": [], "stage": "tiles"}
    first = {**entry, "name": "tiles/A", "unit": "A", "inputs": []}
    second = {**entry, "name": "tiles/B", "unit": "B", "inputs": [["tiles/A", "ab", 0], ["raw B", "cd", None]]}
    stages = {"stages": [{"name": "tiles"}], "conflicts": [0]}
    public = make_public({**document(), **stages, "artifacts": [first, second]}, {"A": "case0002", "B": "case0001"})
    assert [artifact["name"] for artifact in public["artifacts"]] == ["tiles/case0001", "tiles/case0002"]
    assert public["artifacts"][0]["inputs"] == [["raw case0001", "cd", None], ["tiles/case0002", "ab", 1]]
    assert public["conflicts"] == [1]


def test_the_reason_of_an_exclusion_in_the_table_is_not_in_the_folds():
    folds = {
        **document()["artifacts"][0],
        "stage": "folds",
        "figures": {"excluded": {"P01-B1": "Mr. Zhang", "P2": "no OM"}},
    }
    public = make_public({**document(), "artifacts": [folds]}, name_anew(cohort()), {"P01-B1"})
    assert public["artifacts"][0]["figures"] == {
        "excluded": {"P2": "no OM", "case0001": "stated in the table of patients"}
    }
