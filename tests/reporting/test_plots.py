"""Plots of the report."""

import pytest

from nephroscale.reporting.plots import INK, readable_on


@pytest.mark.parametrize(
    ("ground", "text"), [((1, 1, 1, 1), INK), ((0.56, 0.69, 0.76, 1), INK), ((0.12, 0.36, 0.48, 1), "white")]
)
def test_text_on_a_colour_can_be_read(ground, text):
    assert readable_on(ground) == text
