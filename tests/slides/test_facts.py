import json

import numpy as np
import pytest
from PIL import Image

from nephroscale.errors import Rejected
from nephroscale.slides.facts import describe
from nephroscale.slides.raw import link_raw


def table(value, unit="um", source="table"):
    return {"value": value, "unit": unit, "source": source}


def test_a_slide(slide, make_row):
    facts = describe(slide, "OM", make_row("OM"))
    assert facts == {
        "status": "accepted",
        "reader": "jpeg_tiff_reader",
        "vendor": "generic-tiff",
        "width": 2048,
        "height": 1536,
        "levels": 3,
        "channels": 3,
        "dtype": "uint8",
        "background": "bright",
        "scale": {"value": 0.25, "unit": "um", "source": "file"},
    }
    json.dumps(facts)


def test_facts_do_not_depend_on_where_the_file_lies(slide, tmp_path, make_row):
    assert describe(link_raw(slide, tmp_path / "links"), "OM", make_row("OM")) == describe(slide, "OM", make_row("OM"))


def test_the_file_wins_and_the_conflict_is_kept(slide, make_row):
    facts = describe(slide, "OM", make_row("OM", scale=table(0.5)))
    assert facts["scale"] == {"value": 0.25, "unit": "um", "source": "file"}
    assert facts["scale_conflict"] == {"file": 0.25, "table": 0.5}
    assert "scale_conflict" not in describe(slide, "OM", make_row("OM", scale=table(255, "nm")))


@pytest.mark.parametrize("name", ["gcp-jpeg.dicom", "fixtures/boxes.tiff"])
def test_an_absurd_scale_in_the_file_is_not_believed(shared, make_row, name):
    path = shared / "data/slides" / name
    facts = describe(path, "OM", make_row("OM", scale=table(0.4, source="instrument")))
    assert facts["scale"] == {"value": 0.4, "unit": "um", "source": "instrument"}
    assert facts["scale_not_believed"] > 10
    with pytest.raises(Rejected, match="not believed"):
        describe(path, "OM", make_row("OM"))


def test_a_field_needs_a_scale_unless_a_glomerulus_fills_it(shared, make_row):
    path = shared / "data/kidney_om/local1.png"
    with pytest.raises(Rejected, match="no scale"):
        describe(path, "OM", make_row("OM"))
    assert describe(path, "OM", make_row("OM", roi="whole"))["scale"] == {
        "value": None,
        "unit": "um",
        "source": "whole",
    }
    assert describe(path, "OM", make_row("OM", roi="whole", scale=table(0.5)))["scale"]["source"] == "table"
    with pytest.raises(Rejected, match="not that of a light micrograph"):
        describe(path, "OM", make_row("OM", scale=table(352.8)))


def test_fluorescence(shared, make_row):
    facts = describe(shared / "data/slides/test3-DAPI-2-(387).ndpi", "IM", make_row("IM"))
    assert facts["background"] == "dark"
    assert facts["vendor"] == "hamamatsu"
    assert facts["levels"] == 7
    assert facts["scale"] == {"value": 0.228175, "unit": "um", "source": "file"}
    facts = describe(shared / "data/immunofluorescence/Zeiss-1-Merged-ch0.tif", "IM", make_row("IM", scale=table(0.3)))
    assert (facts["channels"], facts["dtype"], facts["background"]) == (1, "uint16", "dark")


def test_the_wrong_modality_is_rejected(shared, slide, make_row):
    with pytest.raises(Rejected, match="background is dark"):
        describe(shared / "data/slides/test3-DAPI-2-(387).ndpi", "OM", make_row("OM"))
    with pytest.raises(Rejected, match="background is bright"):
        describe(slide, "IM", make_row("IM"))


def test_electron_micrographs_take_the_tables_scale(shared, make_row):
    path = shared / "data/tem/gbm_snider_A1--0024.jpg"
    assert describe(path, "TEM", make_row("TEM", scale=table(1.2, "nm")))["scale"] == {
        "value": 1.2,
        "unit": "nm",
        "source": "table",
    }
    assert describe(path, "TEM", make_row("TEM", scale=table(0.004, "um")))["scale"]["value"] == 4.0
    for scale, reason in ((None, "no scale"), (table(5000, "nm"), "not that of an electron")):
        with pytest.raises(Rejected, match=reason):
            describe(path, "TEM", make_row("TEM", scale=scale))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("histolab-broken.svs", "no image format"),
        ("lfs_pointer_as_a.tiff", "no image format"),
        ("truncated.svs", "cut short"),
        ("unopenable.tiff", "only 1 x 1"),
        ("unreadable.svs", "no region of it can be read"),
    ],
)
def test_malformed_files_are_rejected_with_their_reason(shared, make_row, name, reason):
    with pytest.raises(Rejected, match=reason) as rejected:
        describe(shared / "data/slides/malformed" / name, "OM", make_row("OM", scale=table(0.5)))
    assert str(shared) not in rejected.value.reason


def test_one_bad_tile_does_not_condemn_a_slide(damaged, make_row):
    assert describe(damaged, "OM", make_row("OM"))["status"] == "accepted"


def test_sixteen_bits_are_no_stained_slide(tmp_path, make_row):
    Image.fromarray(np.full((64, 64), 900, np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(Rejected):
        describe(tmp_path / "a.png", "OM", make_row("OM", scale=table(0.5)))
