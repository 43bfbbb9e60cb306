"""The scales that headers state, and which of them are believed."""

import cv2
import mrcfile
import numpy as np
import pytest
import tifffile
from PIL import Image

from nephroscale.slides.stated_scale import StatedScale, read_stated_scales

PIXELS = np.full((64, 64, 3), 200, np.uint8)


def test_headers_are_read_in_order_and_faults_are_told_apart(tmp_path):
    tifffile.imwrite(tmp_path / "tag.tif", PIXELS, resolution=(20000, 20000), resolutionunit="CENTIMETER")
    tifffile.imwrite(
        tmp_path / "fiji.tif", PIXELS[..., 0], imagej=True, resolution=(0.25, 0.25), metadata={"unit": "nm"}
    )
    cv2.imwrite(str(tmp_path / "a.png"), PIXELS)
    (tmp_path / "empty.svs").touch()
    (tmp_path / "text.svs").write_text("no slide")
    names = ("tag.tif", "fiji.tif", "a.png", "empty.svs", "text.svs", "absent.svs")
    tag, fiji, png, empty, text, absent = read_stated_scales([(tmp_path / name, "", None) for name in names])
    assert tag.mpp == pytest.approx(0.5)
    assert tag.generic
    assert (fiji.believed("TEM"), fiji.generic) == (pytest.approx(4.0), False)
    assert png == StatedScale(source="picture")
    assert "the file is empty" in empty.fault
    assert "unknown" in text.fault
    assert "does not exist" in absent.fault


@pytest.mark.parametrize(
    ("mpp", "generic", "modality", "believed"),
    [
        (0.25, False, "OM", 0.25),
        (352.8, True, "OM", None),
        (5.0, False, "OM", 5.0),
        (5.0, True, "OM", None),
        (0.004, False, "TEM", 4.0),
        (0.004, True, "TEM", None),
        (None, False, "IM", None),
    ],
)
def test_only_plausible_scales_are_believed(mpp, generic, modality, believed):
    assert StatedScale(mpp, "", generic).believed(modality) == believed


def test_micrographs_are_read_as_such_where_the_modality_is_known(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.jp2")
    with mrcfile.new(tmp_path / "a.mrc", np.zeros((2, 64, 64), np.int16)) as file:
        file.voxel_size = 40
    picture, stack, unchosen, unknown = read_stated_scales(
        [
            (tmp_path / "a.jp2", "TEM", None),
            (tmp_path / "a.mrc", "TEM", 2),
            (tmp_path / "a.mrc", "TEM", None),
            (tmp_path / "a.jp2", "", None),
        ]
    )
    assert picture == StatedScale(source="micrograph")
    assert (stack.believed("TEM"), stack.source) == (pytest.approx(4.0), "MRC")
    assert "name one in the column path" in unchosen.fault
    assert "a JPEG 2000 file" in unknown.fault
