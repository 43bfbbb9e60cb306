import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from nephroscale.cohort.image import TableScale
from nephroscale.errors import Rejected
from nephroscale.slides.facts import (
    ImageFacts,
    Scale,
    ScaleConflict,
    describe_image,
    read_facts,
    with_scale,
    write_facts,
)
from nephroscale.slides.raw import link_raw


def table(value, unit="um", source="table"):
    return TableScale(value, unit, source)


def test_facts_of_a_slide(slide, make_row):
    facts = describe_image(slide, make_row("OM"))
    assert len(facts.perceptual_hash) == 64
    assert replace(facts, perceptual_hash=None) == ImageFacts(
        reader="jpeg_tiff_reader",
        vendor="generic-tiff",
        width=2048,
        height=1536,
        levels=3,
        channels=3,
        dtype="uint8",
        background="bright",
        scale=Scale(0.25, "um", "file"),
    )


def test_facts_survive_writing_and_reading(tmp_path):
    scale, conflict = Scale(0.25, "um", "file"), ScaleConflict(0.25, 0.5)
    accepted = ImageFacts(digest="d", reader="r", width=3, scale=scale, scale_conflict=conflict, unreadable_probes=0.1)
    facts = {
        "A": accepted,
        "B": ImageFacts(digest="e", scale=Scale(None, "um", "whole"), scale_not_believed=352.8),
        "C": ImageFacts(status="rejected", reason="no", digest="f"),
    }
    write_facts(tmp_path / "facts.json", facts)
    assert read_facts(tmp_path / "facts.json") == facts
    content = json.loads((tmp_path / "facts.json").read_text())
    assert content["C"] == {"status": "rejected", "reason": "no", "digest": "f"}
    assert content["A"]["scale_conflict"] == {"file": 0.25, "table": 0.5}
    assert "scale_not_believed" not in content["A"]
    assert content["B"]["scale"] == {"value": None, "unit": "um", "source": "whole"}


def test_a_plain_tag_counts_after_the_table_and_a_conflict_is_recorded(slide, make_row):
    row = make_row("OM", scale=table(0.5))
    facts = with_scale(ImageFacts(), 0.05, row, generic=True)
    assert (facts.scale, facts.scale_conflict) == (Scale(0.5, "um", "table"), ScaleConflict(0.05, 0.5))
    assert with_scale(ImageFacts(), 0.05, make_row("OM"), generic=True).scale == Scale(0.05, "um", "file")
    assert with_scale(ImageFacts(), 0.48, row, generic=False).scale_conflict is None
    assert with_scale(ImageFacts(), 0.47, row, generic=False).scale_conflict == ScaleConflict(0.47, 0.5)


def test_a_scale_that_cannot_be_used_is_refused_with_its_reason(make_row):
    with pytest.raises(Rejected, match="not square, or give µm per pixel in the table"):
        with_scale(ImageFacts(), None, make_row("OM"), generic=False, fault="its pixels are not square")


def test_facts_do_not_depend_on_the_path(slide, tmp_path, make_row):
    assert describe_image(link_raw(slide, tmp_path / "links"), make_row("OM")) == describe_image(slide, make_row("OM"))


def test_a_scanners_own_scale_counts_before_the_table_and_a_conflict_is_recorded(shared, slide, make_row):
    scanned = describe_image(shared / "data/slides/CMU-1-Small-Region.svs", make_row("OM", scale=table(0.25)))
    assert (scanned.scale, scanned.scale_conflict) == (Scale(0.499, "um", "file"), ScaleConflict(0.499, 0.25))
    tagged = describe_image(slide, make_row("OM", scale=table(0.5)))
    assert (tagged.scale, tagged.scale_conflict) == (Scale(0.5, "um", "table"), ScaleConflict(0.25, 0.5))
    assert describe_image(slide, make_row("OM", scale=table(255, "nm"))).scale_conflict is None


@pytest.mark.parametrize("name", ["gcp-jpeg.dicom", "fixtures/boxes.tiff"])
def test_an_implausible_scale_in_the_file_is_ignored(shared, make_row, name):
    path = shared / "data/slides" / name
    facts = describe_image(path, make_row("OM", scale=table(0.4, source="instrument")))
    assert facts.scale == Scale(0.4, "um", "instrument")
    assert facts.scale_not_believed > 10
    with pytest.raises(Rejected, match="implausible"):
        describe_image(path, make_row("OM"))


def test_a_field_needs_a_scale_unless_a_glomerulus_fills_it(shared, make_row):
    path = shared / "data/kidney_om/local1.png"
    with pytest.raises(Rejected, match="no scale"):
        describe_image(path, make_row("OM"))
    assert describe_image(path, make_row("OM", roi="whole")).scale == Scale(None, "um", "whole")
    assert describe_image(path, make_row("OM", roi="whole", scale=table(0.5))).scale.source == "table"
    with pytest.raises(Rejected, match="implausible for a light micrograph"):
        describe_image(path, make_row("OM", scale=table(352.8)))


def test_facts_of_fluorescence_images(shared, make_row):
    facts = describe_image(shared / "data/slides/test3-DAPI-2-(387).ndpi", make_row("IM"))
    assert facts.background == "dark"
    assert facts.vendor == "hamamatsu"
    assert facts.levels == 7
    assert facts.scale == Scale(0.228175, "um", "file")
    facts = describe_image(shared / "data/immunofluorescence/Zeiss-1-Merged-ch0.tif", make_row("IM", scale=table(0.3)))
    assert (facts.channels, facts.dtype, facts.background) == (1, "uint16", "dark")


def test_the_wrong_modality_is_rejected(shared, slide, make_row):
    with pytest.raises(Rejected, match="background is dark"):
        describe_image(shared / "data/slides/test3-DAPI-2-(387).ndpi", make_row("OM"))
    with pytest.raises(Rejected, match="background is bright"):
        describe_image(slide, make_row("IM"))


def test_tem_images_take_the_scale_of_the_table(shared, make_row):
    path = shared / "data/tem/gbm_snider_A1--0024.jpg"
    assert describe_image(path, make_row("TEM", scale=table(1.2, "nm"))).scale == Scale(1.2, "nm", "table")
    assert describe_image(path, make_row("TEM", scale=table(0.004, "um"))).scale.value == 4.0
    for scale, reason in ((None, "no scale"), (table(5000, "nm"), "implausible for an electron")):
        with pytest.raises(Rejected, match=reason):
            describe_image(path, make_row("TEM", scale=scale))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("histolab-broken.svs", "image format is unknown"),
        ("lfs_pointer_as_a.tiff", "image format is unknown"),
        ("truncated.svs", "truncated"),
        ("unopenable.tiff", "only 1 x 1"),
        ("unreadable.svs", "no region of it can be read"),
    ],
)
def test_malformed_files_are_rejected_with_a_reason(shared, make_row, name, reason):
    with pytest.raises(Rejected, match=reason) as rejected:
        describe_image(shared / "data/slides/malformed" / name, make_row("OM", scale=table(0.5)))
    assert str(shared) not in rejected.value.reason


def test_a_slide_with_one_damaged_tile_is_accepted(damaged, make_row):
    assert describe_image(damaged, make_row("OM")).status == "accepted"


def test_om_needs_eight_bit_colour(tmp_path, make_row):
    Image.fromarray(np.full((64, 64), 900, np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(Rejected):
        describe_image(tmp_path / "a.png", make_row("OM", scale=table(0.5)))
