from nephroscale.reporting.attrition import count_stages, list_dropped_images, list_rejections


def unit(name, reason=None, **figures):
    return {"name": name, "status": "rejected" if reason else "accepted", "reason": reason, "figures": figures}


STAGES = {
    "tiles": [unit("A"), unit("B", "cannot be opened"), unit("C", "cannot be opened"), unit("D", "no tissue")],
    "glomeruli": [unit("A"), unit("B", "tiles of B: cannot be opened", because="tiles/B")],
    "tem": [unit("P1", dropped=[{"id": "P1-T3", "reason": "image is blank"}]), unit("P2", "no TEM")],
    "folds": [unit("cohort")],
    "segmenter": [],
}


def test_each_stage_is_counted_in_its_own_units():
    rows = {row["stage"]: row for row in count_stages(STAGES)}
    assert list(rows) == ["tiles", "glomeruli", "tem", "folds"]
    assert (rows["tiles"]["total"], rows["tiles"]["accepted"], rows["tiles"]["rejected"]) == (4, 1, 3)
    assert rows["tiles"]["accepted_percent"] == 25
    assert rows["folds"]["unit"] == "cohort"
    assert rows["tem"]["unit"] == "patients"


def test_causes_are_told_from_what_follows():
    groups = {group["stage"]: group for group in list_rejections(STAGES, {"P2": "no TEM: no TEM"})}
    assert groups["tiles"]["reasons"] == [
        {"reason": "cannot be opened", "units": ["B", "C"]},
        {"reason": "no tissue", "units": ["D"]},
    ]
    assert groups["glomeruli"] == {"stage": "glomeruli", "reasons": [], "follows": 1}
    assert groups["folds"]["reasons"] == [{"reason": "left out of the folds: no TEM: no TEM", "units": ["P2"]}]
    assert list_rejections({"tiles": [unit("A")]}, {}) == []


def test_single_images_that_were_dropped_are_listed():
    assert list_dropped_images(STAGES) == [{"patient": "P1", "image": "P1-T3", "reason": "image is blank"}]
