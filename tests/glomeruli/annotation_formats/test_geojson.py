import json
from pathlib import Path

import pytest

from nephroscale.glomeruli.annotation_formats.registry import read_objects

RING = [[0, 0], [100, 0], [100, 100], [0, 100], [0, 0]]
HOLE = [[40, 40], [40, 60], [60, 60], [60, 40], [40, 40]]
APART = [[500, 0], [550, 0], [550, 50], [500, 50], [500, 0]]


def read_one(tmp_path: Path, geometry: object, **properties: object):
    feature = {"type": "Feature", "geometry": geometry, "properties": properties}
    (tmp_path / "a.geojson").write_text(json.dumps(feature))
    (one,) = read_objects(tmp_path / "a.geojson")
    return one


@pytest.mark.parametrize(
    ("kind", "coordinates", "area"),
    [
        ("Polygon", [RING, HOLE], 9600),
        ("Polygon", [RING[:-1]], 10000),
        ("polygon", [[[*point, 0] for point in RING]], 10000),
        ("MultiPolygon", [[RING, HOLE], [APART]], 12100),
        ("Polygon", [[RING], [APART]], 12500),  # coordinates of another type
        ("MultiPolygon", [RING], 10000),
    ],
)
def test_areas(tmp_path: Path, kind: str, coordinates: list, area: float) -> None:
    assert read_one(tmp_path, {"type": kind, "coordinates": coordinates}).area.area == area


@pytest.mark.parametrize("key", ["class", "className", "category", "Label"])
def test_the_class_of_other_programs_is_read(tmp_path: Path, key: str) -> None:
    square = {"type": "Polygon", "coordinates": [RING]}
    assert read_one(tmp_path, square, **{key: "Tubule"}).labels == ("Tubule",)
    assert read_one(tmp_path, square, classification={"name": "Glomerulus"}, **{key: "x"}).labels == ("Glomerulus",)


@pytest.mark.parametrize(
    ("geometry", "fault"),
    [
        (None, "no geometry"),
        ({"type": "Polygon", "coordinates": []}, "no area"),
        ({"type": "Polygon", "coordinates": [[[1, 1], [9, 9]]]}, "no area"),
        ({"type": "Polygon", "coordinates": [[["a", 1], [2, 3], [4, 5]]]}, "no number"),
        ({"type": "Polygon", "coordinates": [[[1, 1], [float("nan"), 9], [9, 1]]]}, "no number"),
        ({"type": "Polygon", "coordinates": [[[1], [2, 3], [4, 5]]]}, "two coordinates"),
        ({"type": "LineString", "coordinates": RING}, "no area"),
        ({"type": "Circle", "coordinates": [1, 2]}, "unknown type"),
    ],
)
def test_a_geometry_that_is_no_area_is_a_fault_of_its_object_alone(tmp_path: Path, geometry, fault: str) -> None:
    assert fault in read_one(tmp_path, geometry, classification={"name": "Tubule"}).fault


@pytest.mark.parametrize(
    "classification",
    ["Glomerulus: PAS", {"name": "Glomerulus: PAS"}, {"names": ["Glomerulus", "PAS"]}, '{"name": "Glomerulus: PAS"}'],
)
def test_classes_in_all_their_forms(tmp_path: Path, classification: object) -> None:
    geometry = {"type": "Polygon", "coordinates": [RING]}
    assert read_one(tmp_path, geometry, classification=classification, name="A").labels == ("Glomerulus: PAS",)


def test_cells_cores_and_detections_without_class_are_no_outlines(tmp_path: Path) -> None:
    geometry = {"type": "Polygon", "coordinates": [RING]}
    for kind in ("cell", "tmaCore", "tile", "detection"):
        assert read_one(tmp_path, geometry, objectType=kind).fault
    assert not read_one(tmp_path, geometry, objectType="annotation").fault
    assert not read_one(tmp_path, geometry, objectType="detection", classification={"name": "Glomerulus"}).fault


def test_a_geometry_collection_has_the_areas_in_it(tmp_path: Path) -> None:
    polygon, point = {"type": "Polygon", "coordinates": [RING]}, {"type": "Point", "coordinates": [1, 2]}
    assert read_one(tmp_path, {"type": "GeometryCollection", "geometries": [polygon, point]}).area.area == 10000


def test_collections_within_collections_and_features(tmp_path: Path) -> None:
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [RING]}, "properties": {}}
    inner = {"type": "FeatureCollection", "features": [feature, feature]}
    for content in ({**inner, "features": [inner]}, {"type": "Feature", "geometry": inner, "properties": {}}, [inner]):
        (tmp_path / "a.geojson").write_text(json.dumps(content))
        assert [one.area.area for one in read_objects(tmp_path / "a.geojson")] == [10000, 10000]
    (tmp_path / "a.geojson").write_text('{"type": "FeatureCollection", "features": null}')
    assert read_objects(tmp_path / "a.geojson") == []
