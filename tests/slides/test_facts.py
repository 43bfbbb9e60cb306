import json
import os
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

from nephroscale.cohort.image import TableScale
from nephroscale.errors import Rejected
from nephroscale.slides.facts import ImageFacts, Scale, describe_image, read_facts, with_scale, write_facts
from nephroscale.slides.headers import describe_header
from nephroscale.slides.raw import link_raw
from nephroscale.slides.scale_bar import BarScale


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


def test_a_scale_that_cannot_be_used_is_told_with_what_to_do(make_row):
    for fault, joint in (("it is blank", "; give"), ("it is bent; resample it", ", or give")):
        with pytest.raises(Rejected, match=f"no scale that can be used: {fault}{joint} nm per pixel in the table"):
            with_scale(ImageFacts(), None, make_row("TEM"), generic=False, fault=fault)


def test_facts_survive_writing_and_reading(tmp_path):
    scale, other = Scale(0.25, "um", "file"), Scale(0.5, "um", "table")
    accepted = ImageFacts(digest="d", reader="r", width=3, scale=scale, other_scales=(other,), unreadable_probes=0.1)
    facts = {
        "A": accepted,
        "B": ImageFacts(digest="e", scale=Scale(None, "um", "whole"), scale_not_believed=352.8),
        "C": ImageFacts(status="rejected", reason="no", digest="f"),
    }
    write_facts(tmp_path / "facts.json", facts)
    assert read_facts(tmp_path / "facts.json") == facts
    content = json.loads((tmp_path / "facts.json").read_text())
    assert content["C"] == {"status": "rejected", "reason": "no", "digest": "f"}
    assert content["A"]["other_scales"] == [{"value": 0.5, "unit": "um", "source": "table"}]
    assert "page" not in content["A"]
    assert "scale_not_believed" not in content["A"]
    assert content["B"]["scale"] == {"value": None, "unit": "um", "source": "whole"}


def test_a_plain_tag_counts_after_the_table_and_a_conflict_is_recorded(slide, make_row):
    row = make_row("OM", scale=table(0.5))
    facts = with_scale(ImageFacts(), 0.05, row, generic=True)
    assert (facts.scale, facts.other_scales) == (Scale(0.5, "um", "table"), (Scale(0.05, "um", "file"),))
    assert with_scale(ImageFacts(), 0.05, make_row("OM"), generic=True).scale == Scale(0.05, "um", "file")
    assert with_scale(ImageFacts(), 0.48, row, generic=False).other_scales == ()
    assert with_scale(ImageFacts(), 0.47, row, generic=False).other_scales == (Scale(0.5, "um", "table"),)


def test_a_table_that_wins_counts_before_the_file_and_the_conflict_is_recorded(make_row):
    row = make_row("OM", scale=TableScale(0.25, "um", wins=True))
    facts = with_scale(ImageFacts(), 1.0, row, generic=False)
    assert (facts.scale, facts.other_scales) == (Scale(0.25, "um", "table"), (Scale(1.0, "um", "file"),))
    with pytest.raises(Rejected, match="implausible"):
        with_scale(ImageFacts(), 1.0, make_row("OM", scale=TableScale(20, "um", wins=True)), generic=False)


def test_a_scale_that_cannot_be_used_is_refused_with_its_reason(make_row):
    with pytest.raises(Rejected, match="not square, or give its scale in the table with scale_from"):
        with_scale(ImageFacts(), None, make_row("OM"), generic=False, fault="its pixels are not square")


@pytest.mark.slow
def test_facts_do_not_depend_on_the_path(slide, tmp_path, make_row):
    assert describe_image(link_raw(slide, tmp_path / "links"), make_row("OM")) == describe_image(slide, make_row("OM"))


@pytest.mark.slow
def test_a_scanners_own_scale_counts_before_the_table_and_a_conflict_is_recorded(shared, slide, make_row):
    scanned = describe_image(shared / "data/slides/CMU-1-Small-Region.svs", make_row("OM", scale=table(0.25)))
    assert (scanned.scale, scanned.other_scales) == (Scale(0.499, "um", "file"), (Scale(0.25, "um", "table"),))
    tagged = describe_image(slide, make_row("OM", scale=table(0.5)))
    assert (tagged.scale, tagged.other_scales) == (Scale(0.5, "um", "table"), (Scale(0.25, "um", "file"),))
    assert describe_image(slide, make_row("OM", scale=table(255, "nm"))).other_scales == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gcp-jpeg.dicom", "fixtures/boxes.tiff"])
def test_an_implausible_scale_in_the_file_is_ignored(shared, make_row, name):
    path = shared / "data/slides" / name
    facts = describe_image(path, make_row("OM", scale=table(0.4, source="instrument")))
    assert facts.scale == Scale(0.4, "um", "instrument")
    assert facts.scale_not_believed > 10
    with pytest.raises(Rejected, match="implausible"):
        describe_image(path, make_row("OM"))


@pytest.mark.slow
def test_a_field_needs_a_scale_unless_a_glomerulus_fills_it(shared, make_row):
    path = shared / "data/kidney_om/local1.png"
    with pytest.raises(Rejected, match="no scale"):
        describe_image(path, make_row("OM"))
    assert describe_image(path, make_row("OM", roi="whole")).scale == Scale(None, "um", "whole")
    assert describe_image(path, make_row("OM", roi="whole", scale=table(0.5))).scale.source == "table"
    with pytest.raises(Rejected, match="implausible for a light micrograph"):
        describe_image(path, make_row("OM", scale=table(352.8)))


@pytest.mark.slow
def test_facts_of_fluorescence_images(shared, make_row):
    facts = describe_image(shared / "data/slides/test3-DAPI-2-(387).ndpi", make_row("IM"))
    assert facts.background == "dark"
    assert facts.vendor == "hamamatsu"
    assert facts.levels == 7
    assert facts.scale == Scale(0.228175, "um", "file")
    facts = describe_image(shared / "data/immunofluorescence/Zeiss-1-Merged-ch0.tif", make_row("IM", scale=table(0.3)))
    assert (facts.channels, facts.dtype, facts.background) == (1, "uint16", "dark")


@pytest.mark.slow
def test_the_wrong_modality_is_rejected(shared, slide, make_row):
    with pytest.raises(Rejected, match="background is dark"):
        describe_image(shared / "data/slides/test3-DAPI-2-(387).ndpi", make_row("OM"))
    with pytest.raises(Rejected, match="background is bright"):
        describe_image(slide, make_row("IM"))


@pytest.mark.slow
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
        ("histolab-broken.svs", "image format is unknown; export it as OME-TIFF"),
        ("lfs_pointer_as_a.tiff", "a pointer of Git LFS"),
        ("truncated.svs", "truncated"),
        ("unopenable.tiff", "its compression .* is not read"),
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
    bright = np.full((64, 64, 3), 60000, np.uint16)
    for tile in (None, (16, 16)):
        tifffile.imwrite(tmp_path / "a.tif", bright, photometric="rgb", tile=tile, metadata=None)
        with pytest.raises(Rejected, match="16 bits in each colour, but OM needs 8"):
            describe_image(tmp_path / "a.tif", make_row("OM", scale=table(0.5)))


@pytest.mark.parametrize(("sides", "refused"), [((0.25, 0.26), False), ((0.25, 0.27), True), ((0.25, 0.5), True)])
def test_pixels_that_are_not_square_have_no_scale_in_the_table_either(tmp_path, make_row, sides, refused):
    path = tmp_path / "a.ome.tif"
    pixels = np.random.default_rng(0).integers(0, 4000, (64, 80), np.uint16)
    metadata = dict(zip(("PhysicalSizeX", "PhysicalSizeY"), sides, strict=True))
    tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata={"axes": "YX", **metadata})
    row = make_row("IM", marker="IgG", scale=table(0.25))
    if not refused:
        facts = describe_image(path, row)
        assert (facts.mpp, facts.stretch) == (0.25, (1.0, pytest.approx(1.04)))
        return
    with pytest.raises(Rejected, match=r"not square \(0.25 x .*resample it, or .* scale_from: table"):
        describe_image(path, row)
    assert "not square" in (describe_header(path, row).reason or "")
    believed = make_row("IM", marker="IgG", scale=replace(table(0.25), wins=True))
    assert describe_image(path, believed).mpp == 0.25


@pytest.fixture
def read_nm(monkeypatch):
    """A bar of 4 nm per pixel on every photograph."""
    monkeypatch.setattr("nephroscale.slides.facts.can_read_bars", lambda: True)
    monkeypatch.setattr("nephroscale.slides.facts.read_bar", lambda pixels: BarScale(4.0))


def micrograph(path, **more):
    pixels = np.random.default_rng(0).integers(40, 200, (64, 80)).astype(np.uint8)
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata=None, **more)
    return path


AMT = "XpixCal=250\nYpixCal=250\nUnit=um"


def test_a_micrograph_has_the_scale_of_its_metadata_then_of_the_table_then_of_its_bar(tmp_path, make_row, read_nm):
    plain, stated = micrograph(tmp_path / "a.tif"), micrograph(tmp_path / "b.tif", description=AMT)
    assert describe_image(stated, make_row("TEM", scale=table(4.1, "nm"))).scale == Scale(4.0, "nm", "file")
    assert describe_image(plain, make_row("TEM", scale=table(4.1, "nm"))).scale == Scale(4.1, "nm", "table")
    assert describe_image(plain, make_row("TEM")).scale == Scale(4.0, "nm", "bar")


def test_a_scale_that_the_bar_contradicts_is_recorded(tmp_path, make_row, read_nm):
    stated = micrograph(tmp_path / "b.tif", description=AMT.replace("250", "125"))
    facts = describe_image(stated, make_row("TEM", scale=table(8.1, "nm")))
    assert facts.scale == Scale(8.0, "nm", "file")
    assert facts.other_scales == (Scale(4.0, "nm", "bar"),)
    tag = micrograph(tmp_path / "c.tif", resolution=(1e7 / 9, 1e7 / 9), resolutionunit="CENTIMETER")
    assert describe_image(tag, make_row("TEM")).scale.source == "bar"  # a plain tag is not believed


@pytest.mark.slow
def test_a_photograph_takes_the_scale_of_its_bar_but_a_slide_does_not(slide, shared, make_row, monkeypatch):
    monkeypatch.setattr("nephroscale.slides.facts.can_read_bars", lambda: True)
    monkeypatch.setattr("nephroscale.slides.facts.read_bar", lambda pixels: BarScale(500.0))
    photograph = shared / "data/kidney_om/local1.png"
    assert describe_image(photograph, make_row("OM")).scale == Scale(0.5, "um", "bar")
    assert describe_image(photograph, make_row("OM", roi="whole")).scale.source == "whole"
    assert describe_image(slide, make_row("OM")).other_scales == ()


def test_without_any_scale_the_reason_names_all_that_was_tried(tmp_path, make_row, monkeypatch):
    monkeypatch.setattr("nephroscale.slides.facts.can_read_bars", lambda: True)
    monkeypatch.setattr("nephroscale.slides.facts.read_bar", lambda pixels: BarScale(doubt="no scale bar was found"))
    with pytest.raises(Rejected, match=r"neither the file nor the table gives nm per pixel .*no scale bar was found"):
        describe_image(micrograph(tmp_path / "a.tif"), make_row("TEM"))


def test_a_page_is_described_by_itself(tmp_path, make_row):
    pages = np.random.default_rng(0).integers(40, 200, (2, 64, 80)).astype(np.uint8)
    pages[1, :, 40:] //= 4
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack", metadata=None)
    first, second = (
        describe_image(tmp_path / "a.tif", make_row("TEM", scale=table(4, "nm"), page=page)) for page in (1, 2)
    )
    assert (first.page, second.page) == (1, 2)
    assert first.identity != second.identity


@pytest.mark.slow
def test_a_damaged_picture_without_a_scale_is_rejected_and_no_crash(tmp_path, make_row, monkeypatch):
    monkeypatch.setattr("nephroscale.slides.facts.can_read_bars", lambda: True)
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, np.random.default_rng(0).integers(0, 255, (2048, 2048, 3), np.uint8), compression="zlib")
    os.truncate(path, path.stat().st_size // 3)
    with pytest.raises(Rejected):
        describe_image(path, make_row("OM"))


def test_an_inverted_picture_of_sixteen_bits_is_bright(tmp_path, make_row):
    light = np.random.default_rng(0).integers(100, 4000, (64, 80)).astype(np.uint16)
    light[:56] = 150
    for picture, accepted in ((light, True), (4095 - light, False), (65535 - 16 * light, False)):
        tifffile.imwrite(tmp_path / "a.tif", picture)
        if accepted:
            assert describe_image(tmp_path / "a.tif", make_row("IM", scale=table(0.5))).background == "dark"
        else:
            with pytest.raises(Rejected, match="its background is bright"):
                describe_image(tmp_path / "a.tif", make_row("IM", scale=table(0.5)))


def test_grey_and_transparent_pictures_are_no_om(tmp_path, make_row):
    grey = np.random.default_rng(0).integers(120, 250, (64, 80)).astype(np.uint8)
    for pixels in (grey, np.repeat(grey[..., None], 3, 2)):
        Image.fromarray(pixels).save(tmp_path / "a.png")
        with pytest.raises(Rejected, match=r"not an 8-bit colour image.* it is grey"):
            describe_image(tmp_path / "a.png", make_row("OM", scale=table(0.5)))
    Image.fromarray(np.full((64, 64), 900, np.uint16)).save(tmp_path / "b.png")
    with pytest.raises(Rejected, match="16 bits in grey, but OM needs 8"):
        describe_image(tmp_path / "b.png", make_row("OM", scale=table(0.5)))
    Image.fromarray(np.zeros((64, 64, 4), np.uint8)).save(tmp_path / "c.png")
    with pytest.raises(Rejected, match="none of its pixels counts: all are transparent"):
        describe_image(tmp_path / "c.png", make_row("OM", scale=table(0.5)))
