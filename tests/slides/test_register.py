import json

import pytest
import tifffile

from nephroscale.cohort.image import TableScale
from nephroscale.slides.facts import read_facts
from nephroscale.slides.register import RawImage, register_images
from nephroscale.store.digest import digest_json


def test_accepted_and_rejected_images_are_registered(slide, make_row, tmp_path):
    (tmp_path / "b.svs").write_text("nothing")
    images = {
        "B": RawImage(tmp_path / "b.svs", make_row("OM"), "digest of b"),
        "A": RawImage(slide, make_row("OM"), "digest of a", "digest of the annotation"),
    }
    figures, parts = register_images(images, tmp_path / "facts.json")
    assert figures["images"] == 2
    assert list(figures["rejected_images"]) == ["B"]
    assert "format is unknown" in figures["rejected_images"]["B"]
    facts = read_facts(tmp_path / "facts.json")
    assert [(facts[name].status, facts[name].digest) for name in "AB"] == [
        ("accepted", "digest of a"),
        ("rejected", "digest of b"),
    ]
    assert facts["B"].reason == figures["rejected_images"]["B"]
    content = json.loads((tmp_path / "facts.json").read_text())
    assert parts == {
        "A": digest_json(content["A"]),
        "A.annotation": "digest of the annotation",
        "B": digest_json(content["B"]),
        ".identity": digest_json({name: fact.identity for name, fact in facts.items()}),
    }


@pytest.mark.slow
def test_the_order_of_images_does_not_matter(slide, make_row, tmp_path):
    one, other = (RawImage(slide, make_row("OM"), name) for name in "ab")
    first = register_images({"A": one, "B": other}, tmp_path / "a.json")
    assert register_images({"B": other, "A": one}, tmp_path / "b.json") == first
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_scales_that_differ_are_among_the_figures(slide, make_row, tmp_path):
    row = make_row("OM", scale=TableScale(0.5, "um"))
    figures, _ = register_images({"A": RawImage(slide, row, "digest of a")}, tmp_path / "facts.json")
    assert figures["differing_scales"] == {"A": "table: 0.5 µm per pixel (used); file: 0.25 µm per pixel"}


@pytest.mark.slow
def test_what_a_person_should_check_is_among_the_figures(picture, make_row, tmp_path):
    path = tmp_path / "a.tif"
    description = "Aperio Image Library v11\r\n8192x6144 (256x256)|AppMag = 20|MPP = 0.4990"
    tifffile.imwrite(path, picture, photometric="rgb", tile=(256, 256), description=description, metadata=None)
    figures, _ = register_images({"A": RawImage(path, make_row("OM"), "digest of a")}, tmp_path / "facts.json")
    doubt = "its description has an MPP of 0.499, but for a picture of 8192x6144 pixels instead of 2048x1536"
    assert figures["doubtful_images"] == {"A": f"{doubt}: check the scale"}
