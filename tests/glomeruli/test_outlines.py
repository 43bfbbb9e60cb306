import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from shapely.geometry import MultiPolygon, Polygon, box, mapping

from nephroscale.errors import NephroscaleError
from nephroscale.glomeruli.outlines import read_annotations
from support.imagej_roi import roi

SQUARE = [(10, 20), (30, 20), (30, 50), (10, 50)]


def feature(geometry: object, name: str | None = None) -> dict:
    return {
        "type": "Feature",
        "geometry": mapping(geometry),
        "properties": {"classification": {"name": name}} if name else {},
    }


def test_geojson_is_read_in_its_three_forms(tmp_path: Path) -> None:
    features = [feature(box(0, 0, 5, 5)), feature(MultiPolygon([box(10, 0, 12, 2), box(20, 0, 22, 2)]))]
    for content in ({"type": "FeatureCollection", "features": features}, features):
        (tmp_path / "a.json").write_text(json.dumps(content))
        assert [polygon.area for polygon in read_annotations(tmp_path / "a.json")] == [25, 4, 4]
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(features[0]).encode())
    assert len(read_annotations(tmp_path / "a.json")) == 1


def test_outlines_of_other_classes_are_ignored(tmp_path: Path) -> None:
    features = [feature(box(0, 0, 5, 5), "Glomerulus"), feature(box(0, 0, 9, 9), "Tumor"), feature(box(0, 0, 1, 1))]
    (tmp_path / "a.geojson").write_text(json.dumps(features))
    assert [polygon.area for polygon in read_annotations(tmp_path / "a.geojson")] == [25, 1]
    assert len(read_annotations(tmp_path / "a.geojson", names=None)) == 3
    (tmp_path / "a.geojson").write_text(json.dumps(features[1:2]))
    with pytest.raises(NephroscaleError, match="Tumor"):
        read_annotations(tmp_path / "a.geojson")


def test_lines_and_points_are_ignored_and_self_intersections_repaired(tmp_path: Path) -> None:
    bow = Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    line = {"type": "Feature", "geometry": {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, "properties": {}}
    (tmp_path / "a.json").write_text(json.dumps([line, feature(bow)]))
    polygons = read_annotations(tmp_path / "a.json")
    assert [polygon.area for polygon in polygons] == [25, 25]
    assert all(polygon.is_valid for polygon in polygons)


def test_aperio_regions_holes_and_ellipses(tmp_path: Path) -> None:
    def region(points: list[tuple[int, int]], kind: int = 0, negative: int = 0) -> str:
        vertices = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in points)
        return f'<Region Type="{kind}" NegativeROA="{negative}"><Vertices>{vertices}</Vertices></Region>'

    hole = [(12, 22), (14, 22), (14, 24), (12, 24)]
    body = region(SQUARE) + region(hole, negative=1) + region([(100, 100), (120, 110)], kind=2)
    ruler = region([(0, 0), (5, 5)], kind=3)
    (tmp_path / "a.xml").write_text(
        f"<Annotations><Annotation Name=''><Regions>{body}{ruler}</Regions></Annotation></Annotations>"
    )
    polygons = read_annotations(tmp_path / "a.xml")
    assert [round(polygon.area) for polygon in polygons] == [596, pytest.approx(np.pi * 50, abs=1)]


def test_xml_with_a_document_type_is_refused(tmp_path: Path) -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbb">]><Annotations>&b;</Annotations>'
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "a.xml").write_bytes(bomb.replace("1.0", "1.0").encode(encoding))
        with pytest.raises(NephroscaleError, match="DTD"):
            read_annotations(tmp_path / "a.xml")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x,y\n1,2\n",
        b'{"type": "FeatureCollection"',
        b'[{"geometry": null}]',
        b"<svg/>",
        b"<Annotations",
        roi(SQUARE)[:70],
        roi(SQUARE, parts=3),
        b"PK\x03\x04broken",
        b"\x89PNG\r\n\x1a\nbroken",
    ],
)
def test_damaged_files_are_errors(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.bin").write_bytes(data)
    with pytest.raises(NephroscaleError, match=r"a\.bin"):
        read_annotations(tmp_path / "a.bin")


def test_regions_of_a_mask_are_outlines(tmp_path: Path) -> None:
    mask = np.zeros((100, 120), np.uint8)
    mask[10:30, 20:50] = 1
    mask[30:60, 20:50] = 2  # another glomerulus that touches it
    mask[70:90, 80:110] = 1
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    cv2.imwrite(str(tmp_path / "mask.tif"), cv2.merge([mask, mask * 0, mask * 0]))
    for name in ("mask.png", "mask.tif"):
        polygons = read_annotations(tmp_path / name)
        assert [tuple(round(edge) for edge in polygon.bounds) for polygon in polygons] == [
            (20, 10, 50, 30),
            (80, 70, 110, 90),
            (20, 30, 50, 60),
        ]


def test_real_files(shared: Path) -> None:
    data = shared / "data"
    hubmap = read_annotations(data / "annotations/hubmap_aaa6a05cc.json")
    assert len(hubmap) == 96
    assert hubmap[0].bounds == (2491, 12397, 2731, 12673)
    assert len(read_annotations(data / "annotations/TCGA-EJ-5518-01Z-00-DX1.xml")) == 4
    assert len(read_annotations(data / "annotations/geojson_example.json", names=None)) == 8
    for name, count in (("C1", 7), ("C2", 6)):
        polygons = read_annotations(data / f"kidney_om/vegf_ihc_{name}.imagej_rois.zip")
        assert len(polygons) == count
        assert all(15000 < polygon.area < 26000 for polygon in polygons)
        assert all(polygon.is_valid for polygon in polygons)
