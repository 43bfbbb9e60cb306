"""Glomeruli that touch in a mask are split at the neck; single ones are not."""

from __future__ import annotations

import pytest
from shapely import unary_union
from shapely.affinity import scale, translate
from shapely.geometry import Point, Polygon

from nephroscale.glomeruli.necks import split_at_necks


def disc(x: float, y: float, radius: float) -> Polygon:
    return Point(x, y).buffer(radius)


@pytest.mark.parametrize("apart", [98, 95, 90])
def test_two_discs_that_touch_are_split(apart: float) -> None:
    parts = split_at_necks(translate(unary_union([disc(0, 0, 50), disc(apart, 0, 50)]), 5000, -300))
    assert sorted(round(part.centroid.x - 5000, -1) for part in parts) == [0, round(apart, -1)]
    assert all(part.area == pytest.approx(disc(0, 0, 50).area, rel=0.05) for part in parts)


def test_three_discs_in_a_row_are_split() -> None:
    row = unary_union([disc(0, 0, 50), disc(91, 0, 45), disc(176, 10, 45)])
    assert len(split_at_necks(row)) == 3


@pytest.mark.parametrize(
    "single",
    [
        disc(0, 0, 50),
        scale(disc(0, 0, 50), 2.2, 1),
        disc(0, 0, 50).difference(disc(55, 0, 20)),  # a hilum
        unary_union([disc(0, 0, 50), disc(60, 0, 50)]),  # a wide waist
        Polygon([(0, 0), (300, 0), (300, 20), (20, 20), (20, 300), (0, 300)]),  # no round bodies
    ],
)
def test_single_bodies_stay_whole(single: Polygon) -> None:
    assert split_at_necks(single) == [single]
