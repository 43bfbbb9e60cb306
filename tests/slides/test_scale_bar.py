"""Burned-in scale bars: found, measured, and read only without doubt."""

import itertools

import cv2
import numpy as np
import pytest

from nephroscale.slides import scale_bar
from nephroscale.slides.scale_bar import Text, find_bars, measure_length, parse_length, read_bar


@pytest.fixture
def tissue() -> np.ndarray:
    noise = cv2.GaussianBlur(np.random.default_rng(3).normal(size=(500, 800)).astype(np.float32), (0, 0), 4)
    return np.clip(125 + 30 * noise / noise.std(), 40, 210).astype(np.uint8)


def draw(picture: np.ndarray, place: tuple[int, int, int, int], level: int) -> np.ndarray:
    x, y, length, height = place
    drawn = picture.copy()
    drawn[y : y + height, x : x + length] = level
    return drawn


def says(*texts: str, x: float = 0.4, confidence: float = 0.95):
    """A recogniser that reads these texts one call after another, near the middle of what it is shown."""
    left = itertools.cycle(texts)

    def read(picture: np.ndarray) -> list[Text]:
        height, width = picture.shape[:2]
        text = next(left)
        return [Text((x * width, 0.4 * height, (x + 0.1) * width, 0.45 * height), text, confidence)] if text else []

    return read


@pytest.mark.parametrize(("level", "height"), [(255, 1), (255, 8), (0, 3), (0, 16)])
def test_a_bar_is_found_where_it_was_drawn_and_tissue_has_none(tissue, level, height):
    (bar,) = find_bars(draw(tissue, (100, 440, 150, height), level))
    assert (bar.x, bar.y, bar.length, bar.height) == (100, 440, 150, height)
    assert find_bars(tissue) == []


@pytest.mark.parametrize("height", [3, 8, 12])
def test_of_a_bar_with_an_outline_and_one_in_a_box_only_the_bar_is_found(tissue, height):
    outlined = draw(draw(tissue, (97, 437, 156, height + 6), 255), (100, 440, 150, height), 0)
    boxed = draw(draw(tissue, (90, 400, 170, height + 50), 255), (100, 440, 150, height), 0)
    for picture in (outlined, boxed):
        assert [bar.length for bar in find_bars(picture)] == [150]


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (255, 220, 0), (0, 0, 255), (0, 255, 255)])
@pytest.mark.parametrize("height", [2, 4, 12])
def test_the_length_is_right_to_one_percent_after_jpeg(tissue, colour, height):
    picture = np.dstack([tissue] * 3)
    picture[440 : 440 + height, 100:250] = colour
    for quality in (85, 95):
        coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        jpeg = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        (bar,) = find_bars(jpeg)
        assert measure_length(jpeg, bar) == pytest.approx(150, abs=1.5)


def test_the_length_of_a_blurred_bar_is_right(tissue):
    blurred = cv2.GaussianBlur(draw(tissue, (100, 440, 150, 8), 255), (0, 0), 0.8)
    (bar,) = find_bars(blurred)
    assert measure_length(blurred, bar) == pytest.approx(150, abs=0.6)


@pytest.mark.parametrize(
    ("text", "nm"),
    [
        ("2 µm", 2000), ("2μm", 2000), ("2 um", 2000), ("0.5 µm", 500), ("0,5 µm", 500), ("500 nm", 500),
        ("1.0 pm", 1000), ("100 μm", 1e5),
        ("1 mm", 1e6), ("2 microns", 2000), ("1 micron", 1000), ("Bar = 10 µm", 1e4), ("Scale bar: 500 nm", 500),
        ("0,2 Micrometers", 200), ("50 nanometres", 50), ("1 millimeter", 1e6),
        ("10,000 nm", None), ("1,000 nm", None), ("1.000 µm", None), ("2.500 nm", None), ("0.250 µm", 250),
        ("1000 nm", 1000), ("05 µm", None), ("37 nm", None), ("2", None), ("µm", None), ("2 µm x", None),
        ("0 nm", None), ("0.0 µm", None), ("11.5 µm", None), ("HV=80 kV", None),
    ],
)  # fmt: skip
def test_only_a_round_number_with_its_unit_is_a_length(text, nm):
    assert parse_length(text) == (None if nm is None else pytest.approx(nm))


@pytest.mark.parametrize("text", ["500 nm", "500 NM", "0.5 UM", "0,5 Microns"])
def test_a_bar_with_its_text_gives_the_scale(tissue, text):
    found = read_bar(draw(tissue, (100, 440, 160, 8), 255), says(text))
    assert found.nm_per_px == pytest.approx(500 / 160, rel=0.01)


@pytest.mark.parametrize(
    ("reader", "doubt"),
    [
        (says("2 µm", "20 µm"), "no round length"),  # it reads differently by size
        (says("37 nm"), "no round length"),
        (says(""), "no round length"),
        (says("500 nm", confidence=0.4), "no round length"),
    ],
)
def test_what_is_read_without_certainty_is_not_believed(tissue, reader, doubt):
    found = read_bar(draw(tissue, (100, 440, 160, 8), 255), reader)
    assert found.nm_per_px is None
    assert doubt in found.doubt


def test_bars_that_contradict_each_other_are_not_believed(tissue):
    two = draw(draw(tissue, (100, 440, 160, 8), 255), (500, 60, 100, 8), 255)
    found = read_bar(two, says("500 nm"))
    assert found.nm_per_px is None
    assert "its scale bars differ (3.12" in found.doubt
    equal = draw(draw(tissue, (100, 440, 160, 8), 255), (500, 60, 160, 8), 255)
    assert read_bar(equal, says("500 nm")).nm_per_px == pytest.approx(500 / 160, rel=0.01)


@pytest.mark.parametrize(
    "parts",
    [[(600, 80, 255), (770, 80, 255)], [(500, 50, 255), (550, 50, 0), (600, 50, 255), (650, 50, 0)]],
    ids=["beside its text", "in steps"],
)
def test_of_a_bar_in_parts_nobody_knows_what_the_text_means(tissue, parts):
    picture = tissue.copy()
    for x, length, level in parts:
        picture = draw(picture, (x - 200, 440, length, 8), level)
    found = read_bar(picture, says("2 µm"))
    assert found.nm_per_px is None
    assert "several parts" in found.doubt


def test_without_the_extra_and_without_a_bar_the_doubt_says_so(tissue, monkeypatch):
    assert read_bar(tissue, says("500 nm")).doubt == "no scale bar was found"
    monkeypatch.setattr(scale_bar, "load_recogniser", lambda: None)
    assert "extra `ocr`" in read_bar(tissue).doubt


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "nm", "pixels"),
    [("tem/gbm_snider_A1--0024.jpg", 2000, 613), ("kidney_om/vegf_ihc_C1.jpg", 1e5, 148)],
)
def test_real_bars_are_read(shared, name, nm, pixels):
    pytest.importorskip("rapidocr")
    picture = cv2.cvtColor(cv2.imread(str(shared / "data" / name)), cv2.COLOR_BGR2RGB)
    assert read_bar(picture).nm_per_px == pytest.approx(nm / pixels, rel=0.02)


RECORDED = {
    "tem/gbm_snider_A1--0024.jpg": {
        (370, 1056): ((76, 163, 321, 278), "2 μm", 0.89364),
        (279, 736): ((137, 134, 226, 194), "μm", 0.98234),  # the figure was not seen
        (462, 1376): ((80, 200, 410, 361), "2 μm", 0.88529),
    },
    "kidney_om/vegf_ihc_C1.jpg": {
        (250, 1056): ((184, 115, 299, 159), "100 µm", 0.9201),
        (199, 736): ((140, 92, 215, 119), "100 μm", 0.9448),
        (301, 1376): ((230, 138, 383, 192), "100 µm", 0.91363),
    },
}
"""What rapidocr 3.10.0 reads on two real pictures: by the size of what it is shown, a box, its text and confidence."""


@pytest.mark.parametrize(
    ("name", "nm", "pixels"),
    [("tem/gbm_snider_A1--0024.jpg", 2000, 613), ("kidney_om/vegf_ihc_C1.jpg", 1e5, 148)],
)
def test_real_bars_are_read_from_recorded_texts(shared, name, nm, pixels):
    picture = cv2.cvtColor(cv2.imread(str(shared / "data" / name)), cv2.COLOR_BGR2RGB)
    shown = []

    def replay(part: np.ndarray) -> list[Text]:
        shown.append(part.shape[:2])
        box, text, confidence = RECORDED[name][part.shape[:2]]
        return [Text(box, text, confidence)]

    assert read_bar(picture, replay).nm_per_px == pytest.approx(nm / pixels, rel=0.02)
    assert shown == list(RECORDED[name])


@pytest.mark.slow
def test_real_bars_are_found(shared):
    for name, length in (("tem/gbm_snider_A1--0024.jpg", 613), ("kidney_om/vegf_ihc_C1.jpg", 148)):
        picture = cv2.imread(str(shared / "data" / name))
        assert any(measure_length(picture, bar) == pytest.approx(length, rel=0.02) for bar in find_bars(picture))
