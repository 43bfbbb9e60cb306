import base64
import json
import re

import cv2
import numpy as np
import pytest

from nephroscale.reporting.contact_sheet import (
    BUBBLE,
    BUBBLE_LEVEL,
    FOLD,
    FOLD_LEVEL,
    PAGE,
    PEN,
    PEN_LEVEL,
    write_contact_sheet,
)
from nephroscale.reporting.pictures import TISSUE
from nephroscale.reporting.report_inputs import ListedImage

QUALITY = {
    "tiles": 12,
    "tissue_mm2": 0.5123,
    "blurred_share": 0.0,
    "pen_share": 0.0,
    "left_out": 0,
    "unreadable_tiles": 0,
    "focus_median": 0.71,
}
OM = QUALITY | {"normalisation": "macenko", "normalisation_fallback": None}


@pytest.fixture
def write(tmp_path):
    """Write a sheet of slides with these quality figures; gives the page."""

    def sheet(**qualities):
        for name, quality in qualities.items():
            folder = tmp_path / name
            folder.mkdir()
            (folder / "qc.json").write_text(json.dumps(quality))
            cv2.imwrite(str(folder / "thumbnail.png"), np.full((40, 60, 3), 230, np.uint8))
            mask = np.zeros((20, 30), np.uint8)
            mask[5:15, 5:15], mask[5:15, 18:25] = 255, 128
            cv2.imwrite(str(folder / "mask.png"), mask)
        images = {name: ListedImage("P1", "OM", "PAS") for name in qualities}
        write_contact_sheet(tmp_path / "slides.html", "A <study>", {n: tmp_path / n for n in qualities}, images)
        return (tmp_path / "slides.html").read_text()

    return sheet


def test_every_slide_has_its_picture_and_figures(write):
    page = write(b=OM, a=QUALITY | {"calibration": "pattern-only", "saturated_share": 0.042})
    assert page.index("Thumbnail of a") < page.index("Thumbnail of b")
    assert page.count("data:image/jpeg;base64,") == 2
    assert "12 tiles, 0.512 mm²" in page
    assert "normalised by Macenko" in page
    assert '<span class="marked">pattern-only, 4.2 % saturated</span>' in page
    assert page.count('class="marked"') == 1
    assert "A &lt;study&gt;" in page
    assert "<script" not in page


def test_folds_and_clipped_tissue_are_marked(write):
    page = write(
        a=OM | {"fold_share": 0.0, "clipped_share": 0.004},
        b=OM | {"fold_share": 0.021, "bubble_share": 0.1, "clipped_share": 0.3},
    )
    assert '<span class="marked">folds on 2.1 % of the tissue</span>' in page
    assert '<span class="marked">bubbles on 10 % of the tissue</span>' in page
    assert '<span class="marked">30 % of the tissue clipped</span>' in page
    assert "<span>0.4 % of the tissue clipped</span>" in page
    assert page.count('class="marked"') == 3


def test_what_somebody_should_look_at_is_marked(write):
    bad = OM | {"blurred_share": 0.5, "pen_share": 0.031, "left_out": 3, "unreadable_tiles": 2}
    page = write(a=bad | {"normalisation": "identity", "normalisation_fallback": "there is no reference"})
    for text in (
        "focus 0.71, 50 % blurred",
        "pen on 3.1 %",
        "3 tiles left out",
        "2 tiles unreadable",
        "not normalised (there is no reference)",
    ):
        assert f'<span class="marked">{text}</span>' in page


def test_many_slides_are_divided_into_pages(write):
    page = write(**{f"s{k:02}": OM for k in range(PAGE + 1)})
    assert 'href="#page-2">s24</a>' in page
    assert page.count("<section") == 2


def test_without_slides_the_page_says_so(write):
    assert "No slides." in write()


def pictures_of(page):
    """Pictures of a page, RGB."""
    found = re.findall(r'data:image/jpeg;base64,([^"]+)"', page)
    return [cv2.imdecode(np.frombuffer(base64.b64decode(one), np.uint8), cv2.IMREAD_COLOR_RGB) for one in found]


def hue(colour):
    return np.asarray(colour, np.float64) - np.mean(colour)


def test_masks_are_outlined_on_the_thumbnails(tmp_path):
    """Each kind has its own colour, along the border of its area only."""
    places = {
        TISSUE: (255, 10, 10),
        PEN: (PEN_LEVEL, 10, 90),
        FOLD: (FOLD_LEVEL, 70, 10),
        BUBBLE: (BUBBLE_LEVEL, 70, 90),
    }
    mask = np.zeros((120, 160), np.uint8)
    for level, y, x in places.values():
        mask[y : y + 40, x : x + 60] = level
    for name, drawn in (("a", mask), ("b", np.zeros_like(mask))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "qc.json").write_text(json.dumps(OM))
        cv2.imwrite(str(tmp_path / name / "thumbnail.png"), np.full((240, 320, 3), 230, np.uint8))
        cv2.imwrite(str(tmp_path / name / "mask.png"), drawn)
    images = {name: ListedImage("P1", "OM", "PAS") for name in "ab"}
    write_contact_sheet(tmp_path / "slides.html", "A study", {name: tmp_path / name for name in "ab"}, images)
    with_masks, without = pictures_of((tmp_path / "slides.html").read_text())
    assert with_masks.shape == without.shape == (240, 320, 3)
    assert np.abs(without.astype(int) - 230).max() < 10
    for colour, (level, y, x) in places.items():
        area = np.zeros((240, 320), np.uint8)
        area[2 * y : 2 * y + 80, 2 * x : 2 * x + 120] = 1
        inner = cv2.erode(area, np.ones((3, 3), np.uint8))
        drawn = with_masks[area > inner].mean(axis=0)
        # JPEG keeps the brightness of a line of one pixel, but mixes its hue with the grey beside it.
        alike = {other: hue(drawn) @ hue(other) / np.linalg.norm(hue(other)) for other in places}
        assert max(alike, key=alike.get) == colour, level
        assert drawn.mean() < 160
        middle = cv2.erode(area, np.ones((33, 33), np.uint8)) > 0
        assert np.abs(with_masks[middle].astype(int) - 230).max() < 10, level
