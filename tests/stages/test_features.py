"""Sources of a bag of features: the best stain, the slot of each marker, and the reason if there is none."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from nephroscale.errors import Rejected
from nephroscale.features.settings import EncoderSettings, ExtractionSettings
from nephroscale.stages.features import choose_sources, slide_bags
from support.fake_job import FakeJob, accepted, plan_with_images, rejected


def choose(modality, inputs, images, *, stains=(), panel=()):
    settings = ExtractionSettings(EncoderSettings("texture"), "float16", 8, 1, stains, panel)
    plan = plan_with_images(**images)
    return choose_sources(FakeJob(f"P1-{modality}", settings=settings, plan=plan, glomeruli=inputs))


def test_only_slides_of_the_best_stain_available_are_taken():
    images = {"P1_a": "PAS", "P1_b": "PASM", "P1_c": "PASM"}
    inputs = [accepted("glomeruli", unit) for unit in ("P1-a", "P1-c", "P1-b")]
    found = choose("OM", inputs, images, stains=("PASM", "PAS"))
    assert [source.image_id for source in found] == ["P1-b", "P1-c"]
    inputs = [accepted("glomeruli", "P1-a"), *(rejected("glomeruli", unit, "blurred") for unit in ("P1-b", "P1-c"))]
    found = choose("OM", inputs, images, stains=("PASM", "PAS"))
    assert [(source.image_id, source.path) for source in found] == [("P1-a", Path("glomeruli/P1-a"))]


def test_each_marker_has_its_slot():
    inputs = [accepted("glomeruli", "P1-y"), accepted("glomeruli", "P1-x")]
    found = choose("IM", inputs, {"P1_x": "C3", "P1_y": "IgG"}, panel=("IgG", "IgA", "C3"))
    assert [(source.image_id, source.slot) for source in found] == [("P1-x", 2), ("P1-y", 0)]


def test_bags_of_single_images_are_found_by_the_ids_of_images(tmp_path):
    images = {"P1_a": "PAS", "P1_b": "PASM", "P1_c": "PASM"}
    plan = plan_with_images(**images)
    plan.images = lambda patient, modality: [SimpleNamespace(id=name.replace("_", "-")) for name in images]
    job = FakeJob("P1-OM", settings=ExtractionSettings(EncoderSettings("h5"), stains=("PASM", "PAS")), plan=plan)
    assert slide_bags(job, tmp_path) == []
    for name in ("P1-a", "P1-c"):
        (tmp_path / f"{name}.h5").touch()
    assert slide_bags(job, tmp_path) == [("P1-c", tmp_path / "P1-c.h5", 0)]


def test_tem_is_one_source():
    settings = ExtractionSettings(EncoderSettings("texture"), "float16", 8, 1, (), ())
    job = FakeJob("P1-TEM", settings=settings, tem=[accepted("tem", "P1")])
    assert choose_sources(job) == [("P1", Path("tem/P1"), 0)]


def test_where_nothing_is_left_the_reason_for_each_image_is_given():
    with pytest.raises(Rejected, match=r"no usable OM image \(P1-a: blurred\)"):
        choose("OM", [rejected("glomeruli", "P1-a", "blurred")], {"P1_a": "PAS"}, stains=("PAS",))
    with pytest.raises(Rejected, match="the tables have no OM image that a model may read"):
        choose("OM", [], {}, stains=("PAS",))


@pytest.mark.parametrize(
    ("figures", "because"),
    [({}, "glomeruli/P1-a"), ({"because": "tiles/P1-a"}, "tiles/P1-a"), ({"n": 0}, "glomeruli/P1-a")],
)
def test_a_rejection_names_its_first_cause(figures, because):
    inputs = [rejected("glomeruli", "P1-a", "blurred", **figures), rejected("glomeruli", "P1-b", "dark")]
    with pytest.raises(Rejected) as verdict:
        choose("OM", inputs, {"P1_a": "PAS", "P1_b": "PAS"}, stains=("PAS",))
    assert verdict.value.figures == {"because": because}
