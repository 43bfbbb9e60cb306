"""What is drawn looks as its plan says."""

from dataclasses import replace

import numpy as np
import pytest

from nephroscale.demo.fluorescence import FieldPlan, draw_field
from nephroscale.demo.glomerulus import Outline
from nephroscale.demo.kidney import SlidePlan, draw_slide
from nephroscale.demo.noise import stream
from nephroscale.demo.section import PATTERNS
from nephroscale.demo.tem import MicrographPlan, draw_micrograph

SLIDE = SlidePlan("S", 1, 1100, 800, 1.0, "north", "normal", 2)
FIELD = FieldPlan("F", 1, 256, 1.0, 0.0, 0.0)
MICROGRAPH = MicrographPlan("T", 1, 320, 256, 14.0, "loop", label="P01")


@pytest.mark.parametrize("pattern", [*PATTERNS])
@pytest.mark.parametrize("laboratory", ["north", "south"])
def test_tissue_lies_on_bright_glass(pattern, laboratory):
    slide = draw_slide(replace(SLIDE, pattern=pattern, laboratory=laboratory))
    assert slide.picture.shape == (800, 1100, 3)
    assert slide.picture[:20].mean() > 235
    assert slide.glomeruli
    for glomerulus in slide.glomeruli:
        part = slide.picture[
            int(glomerulus.y) - 60 : int(glomerulus.y) + 60, int(glomerulus.x) - 60 : int(glomerulus.x) + 60
        ]
        assert part.mean() < 225


def test_expanded_mesangium_and_sclerosis_are_darker():
    def inside(pattern, sclerosed):
        slide = draw_slide(replace(SLIDE, pattern=pattern, sclerosed=sclerosed))
        g = next(g for g in slide.glomeruli if g.sclerosed == bool(sclerosed))
        return slide.picture[int(g.y) - 35 : int(g.y) + 35, int(g.x) - 35 : int(g.x) + 35].mean()

    assert inside("mesangial", 0) < inside("normal", 0)
    assert inside("normal", 1) < inside("normal", 0)


def test_artefacts_leave_the_glomeruli_where_they_are():
    plain = draw_slide(SLIDE)
    for artefact in ("pen", "blur"):
        other = draw_slide(replace(SLIDE, artefact=artefact))
        assert other.glomeruli == plain.glomeruli
        changed = (other.picture != plain.picture).any(axis=2).mean()
        assert 0.005 < changed < 0.7


def test_fluorescence_is_bright_on_black_and_linear_in_exposure():
    dark, bright = draw_field(FIELD), draw_field(replace(FIELD, capillary=0.6))
    assert dark.dtype == np.uint16
    assert np.median(bright) < 3000
    assert np.percentile(bright, 99.5) > 4 * np.percentile(dark, 99.5)
    longer = draw_field(replace(FIELD, capillary=0.6, exposure_ms=200.0)).astype(float)
    ratio = (np.percentile(longer, 99) - 310) / (np.percentile(bright, 99) - 310)
    assert ratio == pytest.approx(2.0, rel=0.05)
    assert longer.max() < 65535


@pytest.mark.parametrize(
    ("change", "site"),
    [
        ({"subepithelial": 1}, 1),
        ({"subepithelial": 2}, 1),
        ({"subepithelial": 3}, 1),
        ({"subendothelial": 0.9}, 2),
        ({"view": "mesangium", "mesangial": 0.9}, 3),
    ],
)
def test_deposits_are_dark_and_at_their_site(change, site):
    drawn = draw_micrograph(replace(MICROGRAPH, **change))
    assert set(np.unique(drawn.sites)) == {0, site}
    inside = drawn.sites[:230] == site
    assert inside.mean() > 0.002
    assert drawn.picture[:230][inside].mean() < drawn.picture[:230][~inside].mean() - 50


def test_no_deposits_without_a_lesion():
    assert not draw_micrograph(MICROGRAPH).sites.any()


def test_scale_bar_has_its_length():
    strip = draw_micrograph(replace(MICROGRAPH, style="strip")).picture
    assert strip.shape[0] > MICROGRAPH.height
    rows = (strip[MICROGRAPH.height :] == 255).sum(axis=1)
    assert abs(int(rows.max()) - 1000 / MICROGRAPH.nm_per_px) <= 2
    overlay = draw_micrograph(replace(MICROGRAPH, style="overlay")).picture
    assert overlay.shape == (MICROGRAPH.height, MICROGRAPH.width)
    assert abs(int((overlay[-12] == 0).sum()) - 1000 / MICROGRAPH.nm_per_px) <= 4


def test_outline_and_polygon_agree():
    outline = Outline.draw(stream(1, "outline"), 90.0)
    points = outline.polygon(72)
    reach = np.hypot(points[:, 0], points[:, 1])
    assert reach == pytest.approx(outline.at(np.arctan2(points[:, 1], points[:, 0])), rel=1e-4)
    assert reach.max() <= outline.reach() + 0.5


def test_stages_differ_in_what_lies_in_the_wall():
    drawn = {s: draw_micrograph(replace(MICROGRAPH, subepithelial=s, nm_per_px=8.0, label="")) for s in (3, 4)}
    assert (drawn[3].sites == 1).any()
    assert not drawn[4].sites.any()  # what is rarefied is no deposit any more
