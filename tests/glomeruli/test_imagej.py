import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from nephroscale.glomeruli import imagej
from nephroscale.glomeruli.imagej import read_rois
from nephroscale.glomeruli.outlines import read_annotations
from support.imagej_roi import roi

SQUARE = [(10, 20), (30, 20), (30, 50), (10, 50)]


def test_areas_of_all_types_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("b.roi", roi(SQUARE, kind=7))
        archive.writestr("a.roi", roi([(0, 0), (4, 0), (4, 4), (0, 4)], options=128))
        archive.writestr("c.roi", roi([(0, 0), (10, 20)], kind=1))
        archive.writestr("d.roi", roi([(0, 0), (10, 20)], kind=2))
        archive.writestr("e.roi", roi([(0, 0), (10, 20)], kind=3))
    (tmp_path / "a.zip").write_bytes(buffer.getvalue())
    polygons = read_annotations(tmp_path / "a.zip")
    assert [polygon.bounds for polygon in polygons[:3]] == [(0.5, 0.5, 4.5, 4.5), (10, 20, 30, 50), (0, 0, 10, 20)]
    assert polygons[3].area == pytest.approx(np.pi * 50, rel=0.01)
    assert len(polygons) == 4
    (tmp_path / "a.roi").write_bytes(roi(SQUARE))
    assert read_annotations(tmp_path / "a.roi")[0].area == 600


def test_outlines_beyond_32767_pixels_are_unwrapped() -> None:
    data = bytearray(roi(SQUARE))
    data[10:12] = (40000).to_bytes(2, "big")  # left
    data[14:16] = (40020).to_bytes(2, "big")  # right
    assert read_rois(bytes(data))[0].bounds == (40000, 20, 40020, 50)


@pytest.mark.parametrize("data", [roi(SQUARE)[:70], roi(SQUARE, options=128)[:90], roi(SQUARE)[:20], b"Iout"])
def test_a_truncated_roi_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="truncated"):
        read_rois(data)


def test_a_roi_of_several_paths_and_damaged_zips_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="several paths"):
        read_rois(roi(SQUARE, kind=1, parts=3))
    with pytest.raises(ValueError, match="zip is damaged"):
        read_rois(b"PK\x03\x04broken")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.roi", roi(SQUARE))
    monkeypatch.setattr(imagej, "MAX_ROI_BYTES", 10)
    with pytest.raises(ValueError, match="larger than"):
        read_rois(buffer.getvalue())
