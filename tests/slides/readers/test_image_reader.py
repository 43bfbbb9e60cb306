import numpy as np
import pytest
from PIL import Image

from nephroscale.errors import Rejected
from nephroscale.slides.readers.registry import choose_reader, open_slide


def test_a_truncated_image_is_rejected(tmp_path, shared):
    data = (shared / "data/kidney_om/vegf_ihc_C1.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(Rejected, match="truncated"):
        choose_reader(tmp_path / "cut.jpg")


def test_transparent_pixels_are_not_valid(tmp_path):
    rgba = np.full((20, 30, 4), 200, np.uint8)
    rgba[:5, :, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png", "image_reader") as slide:
        pixels, valid = slide.read_level(0, 0, 0, 30, 20)
        assert pixels.shape == (20, 30, 3)
        assert (~valid).sum() == 150


def test_a_rotated_image_is_rejected(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    with pytest.raises(Rejected, match="orientation"):
        choose_reader(tmp_path / "a.jpg")
