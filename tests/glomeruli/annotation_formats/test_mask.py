from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from nephroscale.glomeruli.annotation_formats import mask
from nephroscale.glomeruli.annotation_formats.base import UnreadableAnnotationError
from nephroscale.glomeruli.annotation_formats.registry import read_objects

BOUNDS = [(20, 10, 50, 30), (20, 30, 50, 60), (80, 70, 110, 90)]


@pytest.fixture
def drawn() -> np.ndarray:
    pixels = np.zeros((100, 120), np.uint8)
    pixels[10:30, 20:50] = 1
    pixels[30:60, 20:50] = 2  # another glomerulus that touches it
    pixels[70:90, 80:110] = 1
    return pixels


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "sixteen.png", "colours.png", "transparent.png"])
def test_connected_regions_of_one_value_are_outlines(tmp_path: Path, drawn: np.ndarray, name: str) -> None:
    pixels = {
        "sixteen.png": drawn.astype(np.uint16) * 500,
        "colours.png": np.array([(0, 0, 0), (0, 200, 0), (0, 0, 200)], np.uint8)[drawn],
        "transparent.png": np.array([(0, 0, 0, 255), (0, 200, 0, 255), (0, 0, 200, 255)], np.uint8)[drawn],
    }.get(name, drawn)
    cv2.imwrite(str(tmp_path / name), pixels)
    assert [tuple(round(edge) for edge in one.area.bounds) for one in read_objects(tmp_path / name)] == BOUNDS


def test_what_is_transparent_is_background(tmp_path: Path, drawn: np.ndarray) -> None:
    opacity = np.where(drawn > 0, 255, 0).astype(np.uint8)
    white, coloured = np.full((*drawn.shape, 4), 255, np.uint8), np.full((*drawn.shape, 4), 9, np.uint8)
    white[..., 3] = coloured[..., 3] = opacity
    coloured[drawn == 2, 0] = 200
    for pixels, bounds in ((white, [(20, 10, 50, 60), BOUNDS[2]]), (coloured, BOUNDS)):
        cv2.imwrite(str(tmp_path / "a.png"), pixels)
        assert [tuple(round(edge) for edge in one.area.bounds) for one in read_objects(tmp_path / "a.png")] == bounds


def test_a_mask_with_smoothed_edges_is_refused(tmp_path: Path, drawn: np.ndarray) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), cv2.GaussianBlur(np.where(drawn > 0, 255, 0).astype(np.uint8), (0, 0), 1))
    with pytest.raises(UnreadableAnnotationError, match="its edges are smoothed"):
        read_objects(tmp_path / "a.png")


def test_pictures_are_no_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.random.default_rng(0).integers(1, 255, (100, 100, 3)).astype(np.uint8)
    monkeypatch.setattr(mask, "MOST_REGIONS", 500)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    with pytest.raises(UnreadableAnnotationError, match="not a mask"):
        read_objects(tmp_path / "a.png")
    cv2.imwrite(str(tmp_path / "a.jpg"), picture)
    with pytest.raises(UnreadableAnnotationError, match="JPEG"):
        read_objects(tmp_path / "a.jpg")


def test_an_inverted_mask_is_refused(tmp_path: Path, drawn: np.ndarray) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.where(drawn > 0, 0, 255).astype(np.uint8))
    with pytest.raises(UnreadableAnnotationError, match="its background is not black, as in an inverted mask"):
        read_objects(tmp_path / "a.png")


def test_a_mask_that_a_tag_rotates_is_refused(tmp_path: Path, drawn: np.ndarray) -> None:
    exif = Image.Exif()
    exif[274] = 3
    Image.fromarray(drawn).save(tmp_path / "a.png", exif=exif)
    tifffile.imwrite(tmp_path / "a.tif", drawn, extratags=[(274, 3, 1, 3, True)])
    for name in ("a.png", "a.tif"):
        with pytest.raises(UnreadableAnnotationError, match="its orientation tag rotates it"):
            read_objects(tmp_path / name)


def test_a_stack_of_masks_is_refused(tmp_path: Path, drawn: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([drawn, drawn]), photometric="minisblack")
    with pytest.raises(UnreadableAnnotationError, match="it has 2 pages of one size"):
        read_objects(tmp_path / "a.tif")
