import numpy as np
import pytest

from nephroscale.glomeruli.shape import is_round, to_convex, without_horns

ROWS, COLUMNS = np.mgrid[:120, :160]
TUFT = np.hypot(ROWS - 60, COLUMNS - 60) < 30


def test_a_disc_is_round_and_strokes_and_stars_are_not() -> None:
    assert is_round(TUFT)
    stroke = (abs(ROWS - 60) < 12) & (COLUMNS > 10) & (COLUMNS < 90)
    assert not is_round(stroke)
    assert is_round(stroke, max_elongation=np.inf)
    cross = stroke | ((abs(COLUMNS - 50) < 12) & (ROWS > 20) & (ROWS < 100))
    assert not is_round(cross)
    assert not is_round(np.zeros((9, 9), bool))


def test_horns_are_cut_off_and_holes_filled() -> None:
    horned = (TUFT | ((abs(ROWS - 60) < 6) & (COLUMNS > 60) & (COLUMNS < 150))) & (
        np.hypot(ROWS - 60, COLUMNS - 60) > 5
    )
    kept = without_horns(horned)
    assert kept[60, 60]
    assert kept.sum() == pytest.approx(TUFT.sum(), rel=0.05)
    assert not kept[:, 110:].any()


def test_a_notch_is_filled_and_a_cut_tuft_keeps_its_border() -> None:
    horseshoe = TUFT & ~((abs(ROWS - 60) < 8) & (COLUMNS > 60))
    assert to_convex(horseshoe).sum() == pytest.approx(TUFT.sum(), rel=0.05)
    half = TUFT[:, 60:]
    assert without_horns(half)[:, 0].sum() == half[:, 0].sum()
    assert not without_horns(np.zeros((20, 20), bool)).any()
