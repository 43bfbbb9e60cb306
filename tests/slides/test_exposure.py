"""The exposure in a file of IM: used where the table has none, and held against the table."""

import numpy as np
import pytest
import tifffile

from nephroscale.slides.facts import describe_image, read_facts
from nephroscale.slides.register import RawImage, register_images
from nephroscale.slides.tiles import tile_slide
from support.fluorescence import draw_glomerulus


@pytest.fixture
def field(tmp_path):
    """Two channels that were exposed for 40 and 80 ms."""

    def write(seconds=(0.04, 0.08)):
        light = draw_glomerulus().astype(np.uint16) * 12
        metadata = {
            "axes": "CYX",
            "Channel": {"Name": ["DAPI", "IgG"]},
            "Plane": {"ExposureTime": list(seconds)},
        }
        tifffile.imwrite(tmp_path / "a.ome.tif", np.stack([light // 2, light]), metadata=metadata)
        return tmp_path / "a.ome.tif"

    return write


def test_the_exposure_of_the_markers_channel_is_a_fact(field, make_row):
    facts = describe_image(field(), make_row("IM", marker="IgG", roi="whole"))
    assert (facts.exposure_ms, facts.doubts) == (80.0, ())
    assert describe_image(field(), make_row("IM", marker="C3", channel="1", roi="whole")).exposure_ms == 40.0


def test_it_calibrates_an_image_without_an_exposure_in_the_table(field, make_row, im_settings, tmp_path):
    made = {}
    for name, exposure in (("table", 80.0), ("file", None)):
        row = make_row("IM", marker="IgG", roi="whole", gain=1.0, exposure_ms=exposure)
        figures = tile_slide(field(), describe_image(field(), row), row, im_settings, None, tmp_path / name)
        assert figures["calibration"] == "calibrated"
        made[name] = (tmp_path / name / "qc.json").read_text()
    assert made["table"] == made["file"]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (80.0, None),
        (82.0, None),
        (0.08, "the table seems to have seconds"),
        (80_000.0, "the table seems to have microseconds"),
        (100.0, "100 in the table (used), but the file states 80 ms"),
    ],
)
def test_a_conflict_with_the_table_is_told(field, make_row, tmp_path, table, told):
    row = make_row("IM", marker="IgG", roi="whole", gain=1.0, exposure_ms=table)
    figures, _ = register_images({"A": RawImage(field(), row, "d")}, tmp_path / "facts.json")
    assert [told in doubt for doubt in figures["doubtful_images"].values()] == [True] * (told is not None)
    assert "stated_exposures" not in figures


def test_it_is_among_the_figures_where_the_table_has_none(field, make_row, tmp_path):
    row = make_row("IM", marker="IgG", roi="whole")
    figures, _ = register_images({"A": RawImage(field(), row, "d")}, tmp_path / "facts.json")
    assert figures["stated_exposures"] == {"A": 80.0}
    assert read_facts(tmp_path / "facts.json")["A"].exposure_ms == 80.0


def test_milliseconds_that_a_file_calls_seconds_are_not_used(field, make_row):
    path = field((40.0, 80.0))
    facts = describe_image(path, make_row("IM", marker="IgG", roi="whole"))
    assert facts.exposure_ms is None
    assert "implausible exposure (80 s)" in facts.doubts[0]
    assert describe_image(path, make_row("IM", marker="IgG", roi="whole", exposure_ms=80.0)).doubts == ()
