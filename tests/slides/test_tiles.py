import csv
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import tifffile

from nephroscale.cohort.image import TableScale
from nephroscale.errors import Rejected
from nephroscale.slides.facts import describe_image
from nephroscale.slides.readers.registry import open_slide
from nephroscale.slides.slide_view import SlideView
from nephroscale.slides.tile_reader import open_tiles
from nephroscale.slides.tile_status import TileStatus
from nephroscale.slides.tiles import COLUMNS, tile_slide
from slides.conftest import write_slide
from support.tile_table import read_tile_table


def table(value, unit="um"):
    return TableScale(value, unit)


def files(path):
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


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
    assert "damaged" in figures["doubtful_images"][row.id]
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
