import io
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from nephroscale.errors import Rejected
from nephroscale.slides.jpeg_data import decode_strictly
from nephroscale.slides.samples import read_samples


@pytest.fixture
def grey() -> np.ndarray:
    noise = np.random.default_rng(1).normal(size=(203, 301)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 5)
    return np.clip(125 + 45 * smooth / smooth.std() + 6 * noise, 15, 240).astype(np.uint8)


def jpeg(pixels: np.ndarray, mode: str, **more: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "JPEG", **{"quality": 90, **more})
    return buffer.getvalue()


KINDS = [
    {},
    {"progressive": True},
    {"optimize": True, "quality": 75},
    {"restart_marker_blocks": 7},
    {"progressive": True, "quality": 60, "comment": b"\xff\xda\xff\xd9"},
]


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("more", KINDS)
def test_data_that_were_cut_and_closed_are_refused(tmp_path: Path, grey, mode: str, more: dict[str, object]) -> None:
    whole = jpeg(grey, mode, **more)
    (tmp_path / "a.jpg").write_bytes(whole + b"what other programs add")
    assert read_samples(tmp_path / "a.jpg").shape[:2] == grey.shape
    shares = (0.4, 0.5) if more.get("progressive") else (0.3, 0.5, 0.7, 0.9, 0.97)
    for share in shares:
        (tmp_path / "a.jpg").write_bytes(whole[: int(share * len(whole))] + b"\xff\xd9")
        with pytest.raises(Rejected, match="its data end early or are damaged"):
            read_samples(tmp_path / "a.jpg")


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("more", KINDS)
def test_a_grey_strip_or_corner_is_no_damage(tmp_path: Path, grey, mode: str, more: dict[str, object]) -> None:
    corner = grey.copy()
    corner[-40:, -40:] = 128
    for pixels in (np.pad(grey, ((0, 48), (0, 0)), constant_values=128), corner, np.full((64, 80), 128, np.uint8)):
        (tmp_path / "a.jpg").write_bytes(jpeg(pixels, mode, **more))
        assert (read_samples(tmp_path / "a.jpg")[-1, -1] == 128).all()


LENGTH = 512  # bytes, a sector of a disk
OTHERS = {
    "zeros": lambda _: bytes(LENGTH),
    "random": lambda _: np.random.default_rng(2).integers(0, 256, LENGTH, np.uint8).tobytes(),
    "another JPEG": lambda grey: jpeg(grey[::-1], "RGB", quality=60)[1500 : 1500 + LENGTH],
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("more", KINDS)
def test_overwritten_bytes_are_refused_or_change_little(tmp_path, capfd, grey, more, other) -> None:
    whole = jpeg(grey, "L", **more)
    (tmp_path / "a.jpg").write_bytes(whole)
    right = read_samples(tmp_path / "a.jpg").astype(int)
    unnoticed = []
    for share in np.linspace(0.15, 0.85, 12):
        start = int(share * len(whole))
        (tmp_path / "a.jpg").write_bytes(whole[:start] + OTHERS[other](grey) + whole[start + LENGTH :])
        with suppress(Rejected):
            unnoticed.append((np.abs(read_samples(tmp_path / "a.jpg") - right) > 40).mean())
    assert len(unnoticed) <= (6 if more.get("progressive") else 1)
    assert sum(share > 0.02 for share in unnoticed) <= 1
    assert capfd.readouterr().err == ""


def test_overwritten_bytes_of_inks_are_refused(tmp_path, grey) -> None:
    whole = jpeg(np.dstack([grey] * 3), "CMYK")
    (tmp_path / "a.jpg").write_bytes(whole)
    assert read_samples(tmp_path / "a.jpg").shape[:2] == grey.shape
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2] + bytes(LENGTH) + whole[len(whole) // 2 + LENGTH :])
    with pytest.raises(Rejected, match="damaged"):
        read_samples(tmp_path / "a.jpg")


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_codes_of_one_level_are_no_damage(tmp_path, grey, mode, optimize) -> None:
    flat = np.zeros((2000, 2000), np.uint8)
    flat[:203, :301] = grey // 40 * 40
    (tmp_path / "a.jpg").write_bytes(jpeg(np.dstack([flat] * 3), mode, optimize=optimize))
    assert read_samples(tmp_path / "a.jpg").shape[:2] == flat.shape


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("more", [*KINDS, {"subsampling": 0}, {"quality": 30, "subsampling": 1}])
def test_values_are_those_of_pillow(tmp_path, grey, mode, more) -> None:
    pixels = np.dstack([grey, grey, grey[::-1]]) if mode == "RGB" else grey
    (tmp_path / "a.jpg").write_bytes(jpeg(pixels, mode, **more))
    with Image.open(tmp_path / "a.jpg") as image:
        assert np.array_equal(read_samples(tmp_path / "a.jpg"), np.asarray(image))


def test_a_few_bytes_too_many_are_no_damage(tmp_path, grey) -> None:
    whole = jpeg(grey, "L")
    for count, damaged in ((3, False), (40, True)):
        (tmp_path / "a.jpg").write_bytes(whole[:-2] + b"\x55" * count + whole[-2:])
        if damaged:
            with pytest.raises(Rejected, match="damaged"):
                read_samples(tmp_path / "a.jpg")
        else:
            assert read_samples(tmp_path / "a.jpg").shape == grey.shape


def test_colours_that_are_subsampled_in_an_uncommon_way_are_read(grey) -> None:
    data = bytearray(jpeg(np.full_like(grey, 90), "RGB", subsampling=0))
    frame = data.index(b"\xff\xc0") + 11
    data[frame : frame + 9 : 3] = bytes([0x31, 0x11, 0x11])  # the colours have a third of the width
    for factor in (1, 2):
        pixels = decode_strictly(bytes(data), "RGB", factor)
        assert pixels is not None
        assert pixels.shape == (round(203 / factor), round(301 / factor), 3)
