"""Focus, folds, bubbles, exposure and pale stains: what is measured of tiles, and what is left out for it."""

import csv
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from nephroscale.errors import Rejected
from nephroscale.slides.facts import describe_image
from nephroscale.slides.readers.registry import open_slide
from nephroscale.slides.stain import fit_reinhard
from nephroscale.slides.tile_reader import BUBBLE_LEVEL, FOLD_LEVEL, open_tiles
from nephroscale.slides.tiles import BLURRED, measure_focus, tile_slide
from slides.conftest import halve, write_slide


@pytest.mark.parametrize(
    "name", ["0486052bb_positive_000096_image.png", "local1.png", "local2.png", "vegf_ihc_C1.jpg", "vegf_ihc_C2.jpg"]
)
def test_focus_separates_sharp_from_blurred_whatever_the_stain(shared, name):
    grey = cv2.imread(str(shared / "data/kidney_om" / name), cv2.IMREAD_GRAYSCALE)
    assert measure_focus(grey) > BLURRED + 0.1
    assert measure_focus(cv2.convertScaleAbs(grey, alpha=0.3, beta=170)) > BLURRED + 0.1  # a pale stain
    assert measure_focus(cv2.GaussianBlur(grey, (0, 0), 2.5)) < BLURRED
    assert measure_focus(np.full((256, 256), 200, np.uint8)) == 0


def as_silver(rgb):
    """Show a real field as a silver stain does: black where it is dense, the rest pale."""
    density = -np.log(np.maximum(rgb, 1) / 245.0)[..., 1]
    silver, rest = np.maximum(density - 0.35, 0) * 2.2, np.clip(density, 0, 0.5)
    absorbed = silver[..., None] * np.array([0.60, 0.58, 0.55]) + rest[..., None] * np.array([0.12, 0.5, 0.25])
    return np.clip(245 * np.exp(-absorbed), 0, 255).astype(np.uint8)


def read_region(path):
    with open_slide(path) as slide:
        return slide.read_level(0, slide.width // 4, slide.height // 4, 512, 512)[0]


@pytest.mark.parametrize(
    ("name", "silver"),
    [
        *((f"kidney_om/{name}.png", True) for name in ("0486052bb_positive_000096_image", "local1", "local2")),
        *((name, False) for name in ("slides/CMU-1-Small-Region.svs", "stain/source.png", "stain/target.png")),
    ],
)
def test_focus_separates_sharp_from_blurred_in_silver_and_he(shared, name, silver):
    """The blur is 1 µm at the scales of these images, 0.25 to 0.5 µm per pixel, or a little more."""
    path = shared / "data" / name
    rgb = read_region(path) if path.suffix == ".svs" else np.asarray(Image.open(path).convert("RGB"))
    grey = cv2.cvtColor(as_silver(rgb) if silver else np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    assert measure_focus(grey) > BLURRED + 0.1
    assert measure_focus(cv2.convertScaleAbs(grey, alpha=0.3, beta=170)) > BLURRED + 0.1
    assert measure_focus(cv2.GaussianBlur(grey, (0, 0), 3)) < BLURRED


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gain", "with_reinhard", "method", "reason"),
    [
        (0.3, False, "identity", "the two stains are not separable; reinhard: the reference has no fit"),
        (0.3, True, "reinhard", "the two stains are not separable"),
        (0.12, False, "identity", "too few stained pixels; reinhard: the reference has no fit"),
        (0.12, True, "identity", "too few stained pixels; reinhard: all pixels have the same lightness"),
    ],
)
def test_a_pale_slide_gets_no_colours_that_it_does_not_have(  # noqa: PLR0917
    tmp_path, picture, om_settings, make_row, he, gain, with_reinhard, method, reason
):
    """Its tissue is found as at full stain, its glass stays glass, and where no stain can be measured, none is made."""
    strong, row = halve(picture), make_row("OM", stain="HE")
    reinhard = fit_reinhard(strong.reshape(-1, 3), (245.0, 245.0, 245.0)) if with_reinhard else None
    reference = {"HE": replace(he["HE"], reinhard=reinhard)}
    areas = []
    for strength in (1.0, gain):
        density = -np.log(np.maximum(strong, 1) / 245)
        pixels = np.clip(np.rint(245 * np.exp(-density * strength)), 0, 255).astype(np.uint8)
        path, out = write_slide(tmp_path / "slide.tiff", [pixels], 0.5), tmp_path / str(strength)
        tile_slide(path, describe_image(path, row), row, om_settings, reference, out)
        quality = json.loads((out / "qc.json").read_text())
        areas.append(quality["tissue_mm2"])
    assert areas[1] == pytest.approx(areas[0], rel=0.05)
    assert (quality["normalisation"], quality["normalisation_fallback"]) == (method, f"macenko: {reason}")
    tiles = open_tiles(out)
    stored = tiles.read(0, 0, 0, *tiles.shape(0)[1:])
    stored = stored[:, stored.any(axis=0)]
    assert (np.percentile(stored, 99, axis=1) > 235).all()
    assert ((stored == 0) | (stored == 255)).mean() < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("most", [1.0, 0.2])
def test_tiles_in_a_fold_are_left_out_where_that_is_asked_for(tmp_path, picture, om_settings, make_row, most):
    band = cv2.line(np.zeros(picture.shape[:2], np.float32), (700, 800), (1300, 700), 1.0, 80)[..., None]
    density = -np.log(np.maximum(picture, 1) / 245)
    folded = np.clip(245 * np.exp(-density * (1 + band)), 0, 255).astype(np.uint8)
    path, row = write_slide(tmp_path / "slide.tiff", [folded], 0.5), make_row("OM", stain="HE")
    settings = replace(om_settings, normalisation="none", max_fold_fraction=most)
    tile_slide(path, describe_image(path, row), row, settings, None, tmp_path / "a")
    quality = json.loads((tmp_path / "a/qc.json").read_text())
    area = 80 * np.hypot(600, 100) * 0.5**2 / 1e6
    assert quality["fold_share"] * quality["tissue_mm2"] == pytest.approx(area, rel=0.3)
    with (tmp_path / "a/tiles.csv").open() as file:
        rows = list(csv.DictReader(file))
    covered = [r for r in rows if float(r["fold_fraction"]) > 0.2]
    assert len(covered) >= 5
    assert {r["reason"] for r in covered} == ({"fold"} if most < 1 else {""})
    assert {r["status"] for r in covered} == ({"background"} if most < 1 else {"tissue"})
    mask = cv2.imread(str(tmp_path / "a/mask.png"), cv2.IMREAD_GRAYSCALE)
    assert (mask == FOLD_LEVEL).mean() == pytest.approx(quality["fold_share"] * quality["tissue_share"], rel=0.05)
    assert open_tiles(tmp_path / "a").tissue.mean() == pytest.approx(quality["tissue_share"], rel=0.01)


@pytest.mark.slow
def test_tiles_under_a_bubble_are_left_out_where_that_is_asked_for(tmp_path, picture, om_settings, make_row):
    drawn = cv2.circle(picture.copy(), (900, 760), 360, (40, 35, 40), 80)
    path, row = write_slide(tmp_path / "slide.tiff", [drawn], 0.5), make_row("OM", stain="HE")
    settings = replace(om_settings, normalisation="none", max_bubble_fraction=0.5)
    tile_slide(path, describe_image(path, row), row, settings, None, tmp_path / "a")
    quality = json.loads((tmp_path / "a/qc.json").read_text())
    with (tmp_path / "a/tiles.csv").open() as file:
        rows = list(csv.DictReader(file))
    covered = [r for r in rows if float(r["bubble_fraction"]) > 0.5]
    assert len(covered) >= 4
    assert {r["reason"] for r in covered} == {"bubble"}
    assert {r["status"] for r in covered} == {"background"}
    mask = cv2.imread(str(tmp_path / "a/mask.png"), cv2.IMREAD_GRAYSCALE)
    shown = ((mask == BUBBLE_LEVEL) | (mask == FOLD_LEVEL)).mean()
    assert quality["bubble_share"] * quality["tissue_share"] == pytest.approx(shown, rel=0.05)


@pytest.mark.slow
def test_an_overexposed_slide_is_rejected_with_the_reason(tmp_path, picture, om_settings, make_row):
    path, row = tmp_path / "slide.tiff", make_row("OM", stain="HE")
    for gain, rejected in ((1.0, False), (1.45, True)):
        write_slide(path, [cv2.convertScaleAbs(picture, alpha=gain)], 0.5)
        make = (path, describe_image(path, row), row, replace(om_settings, normalisation="none"), None)
        if not rejected:
            tile_slide(*make, tmp_path / "a")
            assert json.loads((tmp_path / "a/qc.json").read_text())["clipped_share"] < 0.01
            continue
        with pytest.raises(Rejected, match="% of its tissue is over- or underexposed"):
            tile_slide(*make, tmp_path / "b")


@pytest.mark.slow
def test_tiles_out_of_focus_are_left_out_with_their_reason(tmp_path, picture, om_settings, make_row):
    row, blurred = make_row("OM", stain="HE"), picture.copy()
    blurred[:, :1024] = cv2.GaussianBlur(picture, (0, 0), 8)[:, :1024]
    path = write_slide(tmp_path / "slide.tiff", [blurred], 0.5)
    settings = replace(om_settings, min_focus=BLURRED, normalisation="none")
    tile_slide(path, describe_image(path, row), row, settings, None, tmp_path / "a")
    with (tmp_path / "a/tiles.csv").open() as file:
        rows = list(csv.DictReader(file))
    origin = open_tiles(tmp_path / "a").origin[0]
    sides = {reason: [int(r["x"]) + origin for r in rows if r["reason"] == reason] for reason in ("", "out of focus")}
    assert len(sides["out of focus"]) > 20
    assert max(sides["out of focus"]) < 1024
    whole = [r for r in rows if r["tissue_fraction"] == "1.000"]  # the rim of blurred tissue is mostly noise of glass
    assert {int(r["x"]) + origin < 1024 for r in whole if r["status"] == "tissue"} == {False}
    assert json.loads((tmp_path / "a/qc.json").read_text())["left_out"] == len(sides["out of focus"])
    with pytest.raises(Rejected, match="out of focus"):
        tile_slide(path, describe_image(path, row), row, replace(settings, min_focus=1.0), None, tmp_path / "b")
