import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from nephroscale.cohort.image import ImageRow
from nephroscale.errors import Rejected
from nephroscale.slides.headers import describe_header
from nephroscale.tem.read import read_tem


@pytest.fixture
def grey() -> np.ndarray:
    ramp = np.linspace(20, 220, 64 * 48).reshape(48, 64)
    return np.rint(ramp).astype(np.uint8)


def test_eight_bit_grey_is_kept_as_it_is(tmp_path: Path, grey: np.ndarray) -> None:
    for name in ("a.png", "a.tif"):
        Image.fromarray(grey).save(tmp_path / name)
        assert np.array_equal(read_tem(tmp_path / name).grey, grey)


def test_colour_becomes_luma(tmp_path: Path, grey: np.ndarray) -> None:
    colour = np.stack([grey, np.zeros_like(grey), np.zeros_like(grey)], axis=-1)
    Image.fromarray(colour).save(tmp_path / "a.png")
    assert np.abs(read_tem(tmp_path / "a.png").grey - 0.299 * grey).max() <= 0.5001
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(colour, -1, 0), photometric="rgb", planarconfig="separate")
    assert np.array_equal(read_tem(tmp_path / "a.tif").grey, read_tem(tmp_path / "a.png").grey)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_twelve_bits_in_sixteen_are_stretched_past_a_white_bar(tmp_path: Path, grey: np.ndarray, suffix: str) -> None:
    deep = grey.astype(np.uint16) * 16
    deep[-6:] = 65535
    if suffix == "png":
        Image.fromarray(deep).save(tmp_path / "a.png")
    else:
        tifffile.imwrite(tmp_path / "a.tif", deep)
    image = read_tem(tmp_path / f"a.{suffix}").grey
    assert image.dtype == np.uint8
    assert (image[-6:] == 255).all()
    assert np.ptp(image[:-6]) > 240


def test_white_is_zero_images_are_inverted(tmp_path: Path, grey: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "a.tif", 255 - grey, photometric="miniswhite")
    assert np.array_equal(read_tem(tmp_path / "a.tif").grey, grey)


def test_black_and_white_is_no_micrograph(tmp_path: Path, grey: np.ndarray) -> None:
    Image.fromarray(grey > 100).save(tmp_path / "a.bmp")
    with pytest.raises(Rejected, match="black and white"):
        read_tem(tmp_path / "a.bmp")


def test_bad_bytes_are_rejected_but_a_missing_file_is_an_error(tmp_path: Path, grey: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.tile(grey, (4, 4))).save(buffer, "JPEG")
    for name, data in {
        "cut.jpg": buffer.getvalue()[:-400],
        "text.tif": b"version https://git-lfs.github.com",
        "none.png": b"",
        "magic.tif": b"II*\0" + b"\xff" * 40,
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(Rejected):
            read_tem(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_tem(tmp_path / "absent.png")
    Image.fromarray(np.full((32, 32), 7, np.uint8)).save(tmp_path / "one.png")
    with pytest.raises(Rejected, match="only one grey level"):
        read_tem(tmp_path / "one.png")


@pytest.mark.parametrize("name", ["one.png", "one.jpg", "one.tif", "one.bmp"])
def test_one_pixel_is_no_picture(tmp_path: Path, grey: np.ndarray, name: str) -> None:
    Image.fromarray(grey[:1, :1]).save(tmp_path / name)
    with pytest.raises(Rejected, match="1x1, which is not a picture"):
        read_tem(tmp_path / name)
    facts = describe_header(tmp_path / name, ImageRow("a", "P", "TEM"))
    assert facts.reason == "the image has only 1 x 1 pixels"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_signed_numbers_that_were_stored_as_unsigned_are_refused(tmp_path: Path, shared: Path, dtype: type) -> None:
    for name in ("isbi2012_0.png", "isbi2012_3.png", "gbm_snider_A1--0024.jpg"):
        levels = np.asarray(Image.open(shared / "data/tem" / name).convert("L"))[:512, :512].astype(dtype)
        levels *= np.iinfo(dtype).max // 255
        tifffile.imwrite(tmp_path / "a.tif", levels)
        read_tem(tmp_path / "a.tif")
        tifffile.imwrite(tmp_path / "a.tif", levels ^ dtype(np.iinfo(dtype).max // 2 + 1))
        with pytest.raises(Rejected, match="as where signed numbers were stored as unsigned"):
            read_tem(tmp_path / "a.tif")


def test_inks_of_a_jpeg_without_a_statement_of_full_ink_are_refused(tmp_path: Path, grey: np.ndarray) -> None:
    inks = Image.merge("RGB", [Image.fromarray(grey)] * 3).convert("CMYK")
    inks.save(tmp_path / "stated.jpg", quality=95)
    assert np.abs(read_tem(tmp_path / "stated.jpg").grey.astype(int) - grey).mean() < 3
    content = (tmp_path / "stated.jpg").read_bytes()
    place = content.index(b"\xff\xee\0\x0eAdobe")
    (tmp_path / "bare.jpg").write_bytes(content[:place] + content[place + 16 :])
    with pytest.raises(Rejected, match="does not state which value is full ink"):
        read_tem(tmp_path / "bare.jpg")
