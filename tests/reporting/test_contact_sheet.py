import json

import cv2
import numpy as np
import pytest

from nephroscale.reporting.contact_sheet import PAGE, write_contact_sheet
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
