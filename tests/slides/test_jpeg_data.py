import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from nephroscale.errors import Rejected
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
        with pytest.raises(Rejected, match="its data end early"):
            read_samples(tmp_path / "a.jpg")


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("more", KINDS)
def test_a_grey_strip_or_corner_is_no_damage(tmp_path: Path, grey, mode: str, more: dict[str, object]) -> None:
    corner = grey.copy()
    corner[-40:, -40:] = 128
    for pixels in (np.pad(grey, ((0, 48), (0, 0)), constant_values=128), corner, np.full((64, 80), 128, np.uint8)):
        (tmp_path / "a.jpg").write_bytes(jpeg(pixels, mode, **more))
        assert (read_samples(tmp_path / "a.jpg")[-1, -1] == 128).all()
