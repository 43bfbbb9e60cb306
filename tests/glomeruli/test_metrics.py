import numpy as np
import pytest
from shapely.geometry import box

from nephroscale.glomeruli.metrics import detection, dice, dice_of_polygons


def test_dice() -> None:
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert dice(a, b) == 1
    a[:2], b[1:3] = True, True
    assert dice(a, b) == 0.5
    assert dice_of_polygons([box(0, 0, 2, 4)], [box(1, 0, 3, 4)]) == 0.5
    assert dice_of_polygons([box(0, 0, 2, 2), box(1, 0, 3, 2)], [box(0, 0, 3, 2)]) == 1
    assert dice_of_polygons([], []) == 1


def test_each_true_object_counts_once() -> None:
    true = [box(0, 0, 10, 10), box(20, 0, 30, 10), box(40, 0, 50, 10)]
    found = [box(0, 0, 10, 9), box(0, 0, 10, 10), box(20, 0, 30, 4), box(40, 0, 50, 6)]
    figures = detection(found, true)
    assert (figures["matched"], figures["found"], figures["true"]) == (2, 4, 3)
    assert figures["precision"] == 0.5
    assert figures["recall"] == pytest.approx(2 / 3)
    assert figures["f1"] == pytest.approx(4 / 7)


@pytest.mark.parametrize(("found", "true", "f1"), [(0, 0, 1.0), (1, 0, 0.0), (0, 1, 0.0)])
def test_metrics_without_found_or_true_objects(found: int, true: int, f1: float) -> None:
    assert detection([box(0, 0, 1, 1)] * found, [box(0, 0, 1, 1)] * true)["f1"] == f1
