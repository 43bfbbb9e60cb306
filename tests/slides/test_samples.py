import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from nephroscale.errors import Rejected
from nephroscale.slides.samples import read_samples, read_size


@pytest.fixture
def grey() -> np.ndarray:
    noise = np.random.default_rng(1).normal(size=(96, 128)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 5)
    return np.clip(125 + 45 * smooth / smooth.std(), 15, 240).astype(np.uint8)


def like(path: Path, grey: np.ndarray) -> float:
    """Correlation of what is read with the picture."""
    pixels = read_samples(path).astype(np.float64)
    pixels = pixels if pixels.ndim == 2 else pixels.mean(axis=2)
    assert read_size(path) == pixels.shape[::-1]
    return float(np.corrcoef(pixels.ravel(), cv2.resize(grey, pixels.shape[::-1]).ravel())[0, 1])


def tif(path: Path, pixels: np.ndarray, photometric: str = "minisblack", **more: object) -> Path:
    tifffile.imwrite(path / "a.tif", pixels, photometric=photometric, metadata=None, **more)
    return path / "a.tif"


KINDS = {
    "8 bits": lambda g: (g, "minisblack"),
    "16 bits": lambda g: (g.astype(np.uint16) * 200, "minisblack"),
    "signed": lambda g: (g.astype(np.int16) * 10 - 1300, "minisblack"),
    "32 bits": lambda g: (g.astype(np.uint32) * 1000, "minisblack"),
    "float": lambda g: (g.astype(np.float32) * 3.7, "minisblack"),
    "half": lambda g: (g.astype(np.float16), "minisblack"),
    "white is 0": lambda g: (255 - g, "miniswhite"),
    "white is 0, 16 bits": lambda g: (65535 - g.astype(np.uint16) * 200, "miniswhite"),
    "white is lowest, signed": lambda g: (3000 - g.astype(np.int16) * 10, "miniswhite"),
    "RGB": lambda g: (np.dstack([g] * 3), "rgb"),
    "RGB of 16 bits": lambda g: (np.dstack([g.astype(np.uint16) * 200] * 3), "rgb"),
    "CMYK": lambda g: (np.dstack([np.zeros_like(g)] * 3 + [255 - g]), "separated"),
    "CMYK of three inks": lambda g: (np.dstack([255 - g] * 3 + [np.zeros_like(g)]), "separated"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_tiff_shows_the_picture_with_white_on_top(tmp_path: Path, grey: np.ndarray, kind: str) -> None:
    pixels, photometric = KINDS[kind](grey)
    assert like(tif(tmp_path, pixels, photometric), grey) > 0.999


@pytest.mark.parametrize(
    "name", ["a.png", "a.bmp", "a.jp2", "a.jpg", "palette.png", "palette.tif", "cmyk.jpg", "la.png"]
)
def test_every_kind_of_raster_shows_it_too(tmp_path: Path, grey: np.ndarray, name: str) -> None:
    image = Image.fromarray(grey)
    image = {"palette": image.quantize(200), "cmyk": Image.merge("RGB", [image] * 3).convert("CMYK")}.get(
        name.split(".", maxsplit=1)[0], image.convert("LA") if name == "la.png" else image
    )
    image.save(tmp_path / name, **({"quality": 95} if name.endswith("jpg") else {}))
    assert like(tmp_path / name, grey) > 0.995


def test_ycbcr_in_strips_becomes_rgb(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    pixels = np.asarray(Image.fromarray(colours).convert("YCbCr"))
    read = read_samples(tif(tmp_path, pixels, "ycbcr", extratags=[(530, "H", 2, (1, 1), True)]))
    assert np.abs(read.astype(int) - colours).max() <= 3


def pages(path: Path, *contents: tuple[np.ndarray, dict[str, object]]) -> Path:
    with tifffile.TiffWriter(path / "p.tif") as out:
        for pixels, more in contents:
            out.write(pixels, metadata=None, **{"photometric": "minisblack", **more})
    return path / "p.tif"


def test_the_largest_page_is_read_and_of_equal_ones_that_with_most_bits(tmp_path: Path, grey: np.ndarray) -> None:
    deep = grey.astype(np.uint16) * 40 + 3000
    thumbnail = cv2.resize(255 - grey, (32, 24))
    shown = (np.stack([255 - grey] * 3), {"photometric": "rgb", "planarconfig": "separate"})
    for content in (
        [(thumbnail, {"subfiletype": 1}), (deep, {})],
        [(thumbnail, {}), (deep, {})],
        [(deep, {}), (thumbnail, {})],
        [shown, (deep, {})],
    ):
        path = pages(tmp_path, *content)
        assert like(path, grey) > 0.999
        assert read_samples(path).dtype == np.uint16


def test_a_picture_that_its_tag_rotates_is_refused(tmp_path: Path, grey: np.ndarray) -> None:
    exif = Image.Exif()
    for orientation, refused in ((8, True), (1, False), (0, False)):
        exif[0x0112] = orientation
        Image.fromarray(grey).save(tmp_path / "a.jpg", exif=exif, quality=95)
        for path in (tif(tmp_path, grey, extratags=[(274, 3, 1, orientation, True)]), tmp_path / "a.jpg"):
            if refused:
                with pytest.raises(Rejected, match="orientation tag"):
                    read_samples(path)
            else:
                assert like(path, grey) > 0.995


def test_a_stack_asks_for_a_choice(tmp_path: Path, grey: np.ndarray) -> None:
    path = pages(tmp_path, (grey, {}), (grey[::-1].copy(), {}), (grey[:, ::-1].copy(), {}))
    for read in (read_samples, read_size):
        with pytest.raises(Rejected, match="3 pages of one size and type; save the one that is meant"):
            read(path)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (struct.pack(">3I", 3, 100000, 1) + bytes(400), "DM3"),
        (struct.pack(">I", 4) + bytes(400), "DM4"),
        (struct.pack("<4i", 64, 64, 1, 1) + bytes(192) + b"MAP " + bytes(900), "MRC"),
        (b"\x89HDF\r\n\x1a\n" + bytes(400), "EMD"),
        (b"GIF89a" + bytes(400), "GIF"),
    ],
)
def test_what_is_not_read_is_refused_by_name(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / "a.dat").write_bytes(content)
    for read in (read_samples, read_size):
        with pytest.raises(Rejected, match=f"{name}.*export it as TIFF"):
            read(tmp_path / "a.dat")


def test_other_files_and_cut_ones_are_refused(tmp_path: Path, grey: np.ndarray) -> None:
    Image.fromarray(np.tile(grey, (4, 4))).save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    for data in (b"", b"version https://git-lfs.github.com", b"II*\0" + b"\xff" * 40, whole[:-400]):
        (tmp_path / "bad.tif").write_bytes(data)
        with pytest.raises(Rejected):
            read_samples(tmp_path / "bad.tif")
    tifffile.imwrite(tmp_path / "nan.tif", np.full((40, 40), np.nan, np.float32), photometric="minisblack")
    with pytest.raises(Rejected, match="not finite"):
        read_samples(tmp_path / "nan.tif")
