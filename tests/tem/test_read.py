import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageDraw, ImageFont

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


@pytest.mark.parametrize("kind", [np.int8, np.int16])
def test_unsigned_numbers_that_were_stored_as_signed_are_refused(tmp_path: Path, shared: Path, kind: type) -> None:
    levels = np.asarray(Image.open(shared / "data/tem/isbi2012_0.png").convert("L")).astype(int)
    levels *= 1 if kind is np.int8 else 257
    middle = -int(np.iinfo(kind).min)
    tifffile.imwrite(tmp_path / "a.tif", (levels - middle).astype(kind), photometric="minisblack")
    read_tem(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "a.tif", levels.astype(kind), photometric="minisblack")  # beyond the middle below 0
    with pytest.raises(Rejected, match="as where unsigned numbers were stored as signed"):
        read_tem(tmp_path / "a.tif")


@pytest.mark.parametrize(("name", "bits"), [("a.png", 2), ("a.png", 4), ("a.bmp", 4), ("a.tif", 4)])
def test_a_picture_of_few_grey_levels_is_named_so(tmp_path: Path, grey: np.ndarray, name: str, bits: int) -> None:
    coarse = grey >> (8 - bits) << (8 - bits)
    Image.fromarray(coarse.astype(np.uint16) * 100 if name == "a.tif" else coarse).save(tmp_path / name)
    with pytest.raises(Rejected, match=r"has only [0-9]+ grey levels; save it with all its levels, in 8 or 16 bits"):
        read_tem(tmp_path / name)


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


def strip_of_text(shape: tuple[int, int], ground: int, ink: int, *, sharp: bool) -> np.ndarray:
    image = Image.new("L", shape[::-1], ground)
    pen = ImageDraw.Draw(image)
    pen.fontmode = "1" if sharp else "L"
    for row in range(3, shape[0] - 20, 22):
        pen.text((10, row), "JEM-1400 80 kV x11,500 800 ms 2023-05-11 P001", fill=ink, font=ImageFont.load_default(18))
    return np.asarray(image)


@pytest.fixture
def camera() -> np.ndarray:
    """Levels of a camera of 12 bits on tissue [400, 440]."""
    noise = np.random.default_rng(4).normal(size=(400, 440)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 6)
    return np.rint(4000 + 300 * smooth / smooth.std() + 60 * noise).astype(np.uint16)


@pytest.mark.parametrize("sharp", [False, True])
@pytest.mark.parametrize("tones", [(0, 65535), (65535, 0), (30000, 65535)])
@pytest.mark.parametrize("side", [False, True])
def test_text_in_a_strip_neither_wraps_nor_takes_the_range(tmp_path, camera, tones, sharp, side) -> None:
    drawn = strip_of_text((76, 440), 0, 255, sharp=sharp) / 255
    strip = np.rint(tones[0] + (tones[1] - tones[0]) * drawn).astype(np.uint16)
    pixels = np.hstack([camera, strip.T[:400]]) if side else np.vstack([camera, strip])
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack")
    read = read_tem(tmp_path / "a.tif").grey[:400, :440]
    assert len(np.unique(read)) > 150
    assert np.corrcoef(read.ravel(), camera.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("kind", ["int16", "float32"])
def test_a_label_on_signed_and_floating_levels_leaves_the_tissue_its_range(tmp_path, camera, kind) -> None:
    drawn = strip_of_text((90, 440), 0, 255, sharp=False) / 255
    pixels = camera.astype(np.float32) - 4000
    pixels[100:190] = np.rint(pixels[100:190] * (1 - drawn) + 30000 * drawn)
    tifffile.imwrite(tmp_path / "a.tif", pixels.astype(kind), photometric="minisblack")
    assert len(np.unique(read_tem(tmp_path / "a.tif").grey[200:])) > 150


def test_a_bright_smooth_picture_with_a_strip_of_text_is_not_called_wrapped(tmp_path, camera) -> None:
    smooth = cv2.GaussianBlur(camera.astype(np.float32), (0, 0), 3)
    bright = np.interp(smooth, (smooth.min(), smooth.max()), (150, 245)).astype(np.uint8)
    Image.fromarray(np.vstack([bright, strip_of_text((76, 440), 0, 255, sharp=True)])).save(tmp_path / "a.png")
    assert np.array_equal(read_tem(tmp_path / "a.png").grey[:400], bright)


def test_levels_without_marks_have_the_range_of_their_percentiles(tmp_path, camera) -> None:
    clipped = np.minimum(camera, 4500)  # a tenth is saturated
    tifffile.imwrite(tmp_path / "a.tif", clipped, photometric="minisblack")
    low, high = np.percentile(clipped[(clipped > clipped.min()) & (clipped < 4500)], [0.5, 99.5])
    expected = np.rint(np.clip((clipped - low) / (high - low), 0, 1) * 255)
    assert np.abs(read_tem(tmp_path / "a.tif").grey - expected).max() <= 1
