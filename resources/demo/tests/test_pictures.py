"""The images hold what the tables and the true outlines state: deposit sites, outlines, exposure, scale bars."""

from dataclasses import replace

import numpy as np
import pytest

from nephroscale_demo.fluorescence import FieldPlan, generate_field
from nephroscale_demo.glomerulus import Outline
from nephroscale_demo.kidney import SlidePlan, generate_slide
from nephroscale_demo.noise import stream
from nephroscale_demo.tem import MicrographPlan, generate_micrograph

SLIDE = SlidePlan("S", 1, 1100, 800, 1.0, "north", "normal", 2)
FIELD = FieldPlan("F", 1, 256, 1.0, 0.0, 0.0)
MICROGRAPH = MicrographPlan("T", 1, 320, 256, 14.0, "loop", label="P01")


@pytest.mark.slow
def test_artefacts_leave_the_glomeruli_where_they_are():
    plain = generate_slide(SLIDE)
    for artefact in ("pen", "blur"):
        other = generate_slide(replace(SLIDE, artefact=artefact))
        assert other.glomeruli == plain.glomeruli
        changed = (other.picture != plain.picture).any(axis=2).mean()
        assert 0.005 < changed < 0.7


def test_counts_of_a_field_are_proportional_to_the_exposure():
    short = generate_field(replace(FIELD, capillary=0.6))
    long = generate_field(replace(FIELD, capillary=0.6, exposure_ms=200.0))
    dark_level = 310
    ratio = (np.percentile(long, 99) - dark_level) / (np.percentile(short, 99) - dark_level)
    assert ratio == pytest.approx(2.0, rel=0.05)
    assert long.dtype == np.uint16
    assert long.max() < 65535


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
def test_true_sites_are_those_of_the_plan(change, site):
    micrograph = generate_micrograph(replace(MICROGRAPH, **change))
    assert set(np.unique(micrograph.sites)) == {0, site}
    inside = micrograph.sites[:230] == site  # above the burned-in marks
    assert inside.mean() > 0.002
    assert micrograph.picture[:230][inside].mean() < micrograph.picture[:230][~inside].mean()


def test_no_deposits_without_a_lesion():
    assert not generate_micrograph(MICROGRAPH).sites.any()


def test_scale_bar_has_its_length():
    strip = generate_micrograph(replace(MICROGRAPH, style="strip")).picture
    assert strip.shape[0] > MICROGRAPH.height
    rows = (strip[MICROGRAPH.height :] == 255).sum(axis=1)
    assert abs(int(rows.max()) - 1000 / MICROGRAPH.nm_per_px) <= 2
    overlay = generate_micrograph(replace(MICROGRAPH, style="overlay")).picture
    assert overlay.shape == (MICROGRAPH.height, MICROGRAPH.width)
    assert abs(int((overlay[-12] == 0).sum()) - 1000 / MICROGRAPH.nm_per_px) <= 4


def test_outline_and_polygon_agree():
    outline = Outline.sample(stream(1, "outline"), 90.0)
    points = outline.polygon(72)
    reach = np.hypot(points[:, 0], points[:, 1])
    assert reach == pytest.approx(outline.at(np.arctan2(points[:, 1], points[:, 0])), rel=1e-4)
    assert reach.max() <= outline.reach() + 0.5


def test_resorbed_deposits_of_stage_4_are_no_true_deposits():
    stage_3, stage_4 = (
        generate_micrograph(replace(MICROGRAPH, subepithelial=s, nm_per_px=8.0, label="")) for s in (3, 4)
    )
    assert (stage_3.sites == 1).any()
    assert not stage_4.sites.any()
