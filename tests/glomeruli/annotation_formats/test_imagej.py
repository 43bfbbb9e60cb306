import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from nephroscale.glomeruli.annotation_formats import registry
from nephroscale.glomeruli.annotation_formats.base import UnreadableAnnotationError
from nephroscale.glomeruli.annotation_formats.imagej import read
from nephroscale.glomeruli.annotation_formats.registry import read_objects
from support.imagej_roi import roi

SQUARE = [(10, 20), (30, 20), (30, 50), (10, 50)]


def zipped(folder: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "."), data)
    return folder / "a.zip"


def composite(*rings: list[tuple[float, float]]) -> bytes:
    """A ROI of several paths: for each a move, lines, and a close."""
    values: list[float] = []
    for first, *others in rings:
        values += [0, *first, *(v for point in others for v in (1, *point)), 4]
    return roi([(0, 0), (100, 100)], kind=1, parts=len(values))[:64] + struct.pack(f">{len(values)}f", *values)


def test_areas_of_all_types_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    path = zipped(
        tmp_path,
        b__roi=roi(SQUARE, kind=7),
        a__roi=roi([(0, 0), (4, 0), (4, 4), (0, 4)], options=128),
        c__roi=roi([(0, 0), (10, 20)], kind=1),
        d__roi=roi([(0, 0), (10, 20)], kind=2),
        e__roi=roi([(0, 0), (10, 20)], kind=3),
    )
    *areas, line = read_objects(path)
    assert [one.area.bounds for one in areas[:3]] == [(0.5, 0.5, 4.5, 4.5), (10, 20, 30, 50), (0, 0, 10, 20)]
    assert areas[3].area.area == pytest.approx(np.pi * 50, rel=0.01)
    assert [one.name for one in areas] == ["a", "b", "c", "d"]
    assert line.fault


def test_outlines_beyond_32767_pixels_are_unwrapped() -> None:
    data = bytearray(roi(SQUARE))
    data[10:12] = (40000).to_bytes(2, "big")  # left
    data[14:16] = (40020).to_bytes(2, "big")  # right
    assert read(bytes(data)).area.bounds == (40000, 20, 40020, 50)


def test_copies_of_macos_are_left_out_and_capitals_read(tmp_path: Path) -> None:
    path = zipped(tmp_path, a__ROI=roi(SQUARE), Results__csv=b"1,2")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/._a.roi", b"\0\5\x16\7")
        archive.writestr("._a.roi", b"\0\5\x16\7")
    (tmp_path / "b.zip").write_bytes(path.read_bytes())
    assert len(read_objects(tmp_path / "b.zip")) == 1


def test_several_paths_are_parts_and_holes() -> None:
    hole = [(10.0, 10.0), (20.0, 10.0), (20.0, 20.0), (10.0, 20.0)]
    outer = [(0.0, 0.0), (50.0, 0.0), (50.0, 50.0), (0.0, 50.0)]
    part = [(100.0, 0.0), (110.0, 0.0), (110.0, 10.0), (100.0, 10.0)]
    assert read(composite(outer, hole, part)).area.area == pytest.approx(2500 - 100 + 100)


@pytest.mark.parametrize(
    "data", [roi(SQUARE)[:70], roi(SQUARE, options=128)[:90], roi(SQUARE)[:20], b"Iout", roi(SQUARE, kind=1, parts=3)]
)
def test_a_truncated_roi_is_an_error(data: bytes) -> None:
    with pytest.raises(UnreadableAnnotationError, match="truncated"):
        read(data)


def test_damaged_and_large_zips_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "b.zip").write_bytes(b"PK\x03\x04broken")
    with pytest.raises(UnreadableAnnotationError, match="zip"):
        read_objects(tmp_path / "b.zip")
    with pytest.raises(UnreadableAnnotationError, match="neither ROIs"):
        read_objects(zipped(tmp_path, notes__txt=b""))
    monkeypatch.setattr(registry, "MOST_BYTES", 10)
    with pytest.raises(UnreadableAnnotationError, match="larger than"):
        read_objects(zipped(tmp_path, a__roi=roi(SQUARE)))
