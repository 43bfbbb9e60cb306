import csv
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from nephroscale.cohort.image import TableScale
from nephroscale.errors import Rejected
from nephroscale.slides.facts import describe_image
from nephroscale.slides.readers.registry import open_slide
from nephroscale.slides.slide_view import SlideView
from nephroscale.slides.stain import StainReference, fit_reinhard
from nephroscale.slides.tile_reader import BUBBLE_LEVEL, FOLD_LEVEL, open_tiles
from nephroscale.slides.tile_status import TileStatus
from nephroscale.slides.tiles import BLURRED, COLUMNS, measure_focus, tile_slide
from slides.conftest import halve, write_slide
from support.tile_table import read_tile_table


def table(value, unit="um"):
    return TableScale(value, unit)


def files(path):
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def he(root):
    return {"HE": StainReference.from_json(json.loads((root / "resources/stain/he.json").read_text())["HE"])}


@pytest.fixture(scope="module")
def tiled(tmp_path_factory, slide, om_settings, make_row):
    """The synthetic slide, tiled without normalisation."""
    out = tmp_path_factory.mktemp("tiled") / "I.ome.zarr"
    row = make_row("OM", stain="HE")
    figures = tile_slide(slide, describe_image(slide, row), row, replace(om_settings, normalisation="none"), None, out)
    return out, figures


def test_all_outputs_are_written(tiled):
    out, figures = tiled
    top = {p.name for p in out.iterdir()}
    assert {"0", "1", "labels", "tiles.csv", "qc.json", "thumbnail.png", "mask.png", "zarr.json"} <= top
    assert figures["mpp"] == 0.5
    assert figures["normalisation"] == "identity"
    assert figures["unreadable_tiles"] == 0
    picture = cv2.imread(str(out / "thumbnail.png"))
    assert max(picture.shape) <= 1024
    mask = cv2.imread(str(out / "mask.png"), cv2.IMREAD_GRAYSCALE)
    assert sorted(np.unique(mask)) == [0, 255]
    quality = json.loads((out / "qc.json").read_text())
    assert quality["tissue_mm2"] == pytest.approx(np.pi * (2048 // 3) * (1536 // 3) * 0.25**2 / 1e6, rel=0.08)
    assert quality["pen_share"] == 0
    opened = open_tiles(out)
    assert opened.slide_px == (2048, 1536)
    assert opened.pen.shape == mask.shape
    assert not opened.pen.any()


def test_tiles_are_the_slides_pixels(tiled, slide):
    out, figures = tiled
    tiles = open_tiles(out)
    assert tiles.scale == 2.0
    rows = [row for row in read_tile_table(tiles.path) if row["status"] == "tissue"]
    assert len(rows) == figures["tiles"] == (tiles.status == TileStatus.TISSUE).sum()
    with open_slide(slide, "openslide_reader") as reader:
        view = SlideView(reader, 2.0)
        for row in rows[:: max(1, len(rows) // 5)]:
            x = (tiles.origin[0] + row["x"] * tiles.scale) / tiles.scale
            y = (tiles.origin[1] + row["y"] * tiles.scale) / tiles.scale
            pixels = tiles.read(0, row["y"], row["x"], 128, 128)
            inside = view.read(int(x), int(y), *pixels.shape[:0:-1])
            np.testing.assert_array_equal(np.moveaxis(pixels, 0, -1)[inside[1]], inside[0][inside[1]])
            assert row["focus"] > 0
            assert row["tissue_fraction"] >= 0.1


def test_background_is_absent_and_the_table_says_so(tiled):
    tiles = open_tiles(tiled[0])
    rows = read_tile_table(tiles.path)
    assert len(rows) == tiles.status.size
    background = [row for row in rows if row["status"] == "background"]
    assert background
    assert all(row["focus"] is None for row in background)
    assert not tiles.read(0, background[0]["y"], background[0]["x"], 128, 128).any()
    with (tiled[0] / "tiles.csv").open() as file:
        assert next(csv.reader(file)) == list(COLUMNS)


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


@pytest.mark.slow
def test_two_runs_give_equal_bytes(tmp_path, slide, om_settings, make_row, he):
    row = make_row("OM", stain="HE")
    facts = describe_image(slide, row)
    before = cv2.getNumThreads()
    for name, threads in (("a", 1), ("b", 2)):
        cv2.setNumThreads(threads)
        tile_slide(slide, facts, row, om_settings, he, tmp_path / name, threads=threads)
    cv2.setNumThreads(before)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert json.loads((tmp_path / "a/qc.json").read_text())["normalisation"] == "macenko"


@pytest.mark.slow
def test_readers_agree_on_the_pixels(tmp_path, slide, om_settings, make_row):
    """The fast one makes its overview of reduced tiles, so that few tiles at the rim may differ in their status."""
    row = make_row("OM", stain="HE")
    facts = describe_image(slide, row)
    settings = replace(om_settings, normalisation="none")
    opened = []
    for name in ("jpeg_tiff_reader", "openslide_reader"):
        tile_slide(slide, replace(facts, reader=name), row, settings, None, tmp_path / name)
        opened.append(open_tiles(tmp_path / name))
    fast, slow = opened
    assert (fast.origin, fast.shape()) == (slow.origin, slow.shape())
    both = (fast.status == slow.status) & (fast.status == TileStatus.TISSUE)
    assert (fast.status == slow.status).mean() > 0.95
    for y, x in np.argwhere(both) * 128:
        np.testing.assert_array_equal(fast.read(0, y, x, 128, 128), slow.read(0, y, x, 128, 128))


@pytest.mark.slow
def test_tiles_decoded_at_half_scale_are_means_of_squares(tmp_path, picture, om_settings, make_row):
    path = write_slide(tmp_path / "slide.tiff", [picture], 0.25)
    row = make_row("OM", stain="HE")
    facts = describe_image(path, row)
    settings = replace(om_settings, normalisation="none", tissue_mpp=2.0)
    opened = []
    for name in ("jpeg_tiff_reader", "openslide_reader"):
        tile_slide(path, replace(facts, reader=name), row, settings, None, tmp_path / name)
        opened.append(open_tiles(tmp_path / name))
    assert opened[0].origin == opened[1].origin
    both = (opened[0].status == 1) & (opened[1].status == 1)
    y, x = np.argwhere(both)[both.sum() // 2] * 128
    fast, slow = (tiles.read(0, y, x, 128, 128).astype(int) for tiles in opened)
    assert 0 < np.abs(fast - slow).mean() < 1
    assert np.abs(fast.mean((1, 2)) - slow.mean((1, 2))).max() < 0.3


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["jpeg_tiff_reader", "openslide_reader"])
def test_unreadable_tiles_are_marked_and_never_white(tmp_path, damaged, om_settings, make_row, he, reader):  # noqa: PLR0917
    row = make_row("OM", stain="HE")
    figures = tile_slide(
        damaged, replace(describe_image(damaged, row), reader=reader), row, om_settings, he, tmp_path / "a"
    )
    tiles = open_tiles(tmp_path / "a")
    # The damaged tile covers 256 x 256 pixels at 0.5 µm from (256, 256): four tiles of 128.
    lost = [row for row in read_tile_table(tiles.path) if row["status"] == "unreadable"]
    places = sorted((tiles.origin[0] / 2 + row["x"], tiles.origin[1] / 2 + row["y"]) for row in lost)
    assert places == [(256, 256), (256, 384), (384, 256), (384, 384)]
    assert figures["unreadable_tiles"] == 4
    assert (tiles.status == TileStatus.UNREADABLE).sum() == 4
    for row in lost:
        assert not tiles.read(0, row["y"], row["x"], 128, 128).any()
        assert row["focus"] is None
    assert figures["tiles"] >= 16


@pytest.mark.slow
def test_damage_absent_from_the_overview_is_marked_too(tmp_path, slide, om_settings, make_row):
    """Level 0 is damaged, and the overview comes from level 2."""
    data = bytearray(slide.read_bytes())
    with tifffile.TiffFile(slide) as tiff:
        page = tiff.pages[0]
        for number in (3 * 8 + 3, 3 * 8 + 4):
            start, length = page.dataoffsets[number], page.databytecounts[number]
            data[start : start + length] = bytes(length)
    path = tmp_path / "slide.tiff"
    path.write_bytes(data)
    row = make_row("OM", stain="HE")
    figures = tile_slide(
        path, describe_image(path, row), row, replace(om_settings, mpp=0.25, tile_px=256), None, tmp_path / "a"
    )
    assert figures["unreadable_tiles"] == 2
    assert sorted(row["status"] for row in read_tile_table(tmp_path / "a")).count("unreadable") == 2


def test_a_slide_without_tissue_is_rejected(tmp_path, om_settings, make_row):
    glass = np.clip(np.random.default_rng(0).normal(243, 1, (512, 512, 3)), 0, 255).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), glass)
    row = make_row("OM", stain="HE", scale=table(0.5))
    with pytest.raises(Rejected, match="no tissue"):
        tile_slide(
            tmp_path / "a.png", describe_image(tmp_path / "a.png", row), row, om_settings, None, tmp_path / "out"
        )


@pytest.mark.slow
def test_too_coarse_a_slide_is_rejected_unless_a_glomerulus_fills_it(tmp_path, shared, om_settings, make_row):
    path = shared / "data/kidney_om/local1.png"
    row = make_row("OM", stain="Masson", scale=table(0.6))
    with pytest.raises(Rejected, match="too coarse"):
        tile_slide(path, describe_image(path, row), row, om_settings, None, tmp_path / "a")
    row = make_row("OM", stain="Masson", scale=table(0.52))
    assert tile_slide(path, describe_image(path, row), row, om_settings, None, tmp_path / "b")["mpp"] == 0.52
    row = make_row("OM", stain="Masson", scale=table(0.6), roi="whole")
    assert tile_slide(path, describe_image(path, row), row, om_settings, None, tmp_path / "c")["mpp"] == 0.6


@pytest.mark.slow
def test_a_field_without_scale_keeps_its_pixels(tmp_path, shared, om_settings, make_row):
    path = shared / "data/kidney_om/local2.png"
    row = make_row("OM", stain="Masson", roi="whole")
    figures = tile_slide(path, describe_image(path, row), row, om_settings, None, tmp_path / "a")
    assert figures["mpp"] is None
    assert figures["tissue_mm2"] is None
    tiles = open_tiles(tmp_path / "a")
    expected = cv2.imread(str(path))[..., ::-1]
    np.testing.assert_array_equal(np.moveaxis(tiles.read(0, 0, 0, 508, 508), 0, -1), expected)
    assert (tiles.status == TileStatus.TISSUE).all()


@pytest.mark.slow
def test_a_real_slide(tmp_path, shared, om_settings, make_row, he):
    path = shared / "data/slides/CMU-1-Small-Region.svs"
    row = make_row("OM", stain="HE")
    figures = tile_slide(path, describe_image(path, row), row, om_settings, he, tmp_path / "a")
    assert figures["normalisation"] == "macenko"
    assert figures["mpp"] == 0.499
    assert 0.5 < figures["tissue_mm2"] < 0.8
    tiles = open_tiles(tmp_path / "a")
    assert tiles.origin[0] > 0
    done = []
    tile_slide(
        path,
        describe_image(path, row),
        row,
        om_settings,
        he,
        tmp_path / "b",
        report=lambda n, total: done.append((n, total)),
    )
    assert done[-1] == (figures["tiles"], figures["tiles"])


@pytest.mark.slow
def test_a_real_fluorescence_slide(tmp_path, shared, im_settings, make_row):
    path = shared / "data/slides/test3-DAPI-2-(387).ndpi"
    row = make_row("IM", marker="IgG")
    figures = tile_slide(path, describe_image(path, row), row, replace(im_settings, tile_px=256), None, tmp_path / "a")
    assert figures["calibration"] == "pattern-only"
    tiles = open_tiles(tmp_path / "a")
    assert tiles.dtype == np.uint16
    assert tiles.mpp == 0.5
    assert tiles.calibration == "pattern-only"
    level = tiles.read(1, 0, 0, *tiles.shape(1)[1:])
    assert np.percentile(level, 99.9) > 30000
    assert np.median(level) < 3000
    quality = json.loads((tmp_path / "a/qc.json").read_text())
    assert quality["channel"] == 2  # blue


def test_exposure_is_divided_out(tmp_path, im_settings, make_row):
    rng = np.random.default_rng(0)
    signal = np.zeros((512, 512), np.float32)
    cv2.circle(signal, (256, 256), 40, 1.0, -1)
    signal *= rng.uniform(0.8, 1, signal.shape)
    levels = {}
    for exposure in (50, 200):
        counts = 100 + rng.normal(0, 3, signal.shape) + signal * 40 * exposure
        path = tmp_path / f"{exposure}.tif"
        tifffile.imwrite(path, counts.astype(np.uint16))
        row = make_row("IM", marker="IgG", scale=table(0.5), exposure_ms=float(exposure), gain=1.0)
        figures = tile_slide(path, describe_image(path, row), row, im_settings, None, tmp_path / f"{exposure}.zarr")
        assert figures["calibration"] == "calibrated"
        tiles = open_tiles(tmp_path / f"{exposure}.zarr")
        x, y = (int(256 - origin) for origin in tiles.origin)
        levels[exposure] = tiles.read(0, y - 20, x - 20, 40, 40).mean()
    assert levels[50] == pytest.approx(levels[200], rel=0.03)
    assert levels[50] == pytest.approx(0.9 * 4000, rel=0.05)


@pytest.mark.slow
def test_tiles_contain_no_metadata_of_the_file(tmp_path, slide, om_settings, make_row, he):
    row = make_row("OM", stain="HE")
    tile_slide(slide, describe_image(slide, row), row, om_settings, he, tmp_path / "a")
    for name, data in files(tmp_path / "a").items():
        if name.endswith((".json", ".csv")):
            assert str(slide).encode() not in data
            assert b"slide.tiff" not in data


@pytest.mark.slow
def test_a_slide_of_which_too_much_is_unreadable_is_rejected(tmp_path, damaged, om_settings, make_row, he):
    row = make_row("OM", stain="HE")
    settings = replace(om_settings, max_unreadable_fraction=0.0)
    with pytest.raises(Rejected, match=r"4 of its \d+ tiles cannot be read"):
        tile_slide(damaged, describe_image(damaged, row), row, settings, he, tmp_path / "t")
