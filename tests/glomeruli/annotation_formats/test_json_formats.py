"""COCO, HuBMAP, labelme and the Digital Slide Archive, each with files as their programs write them."""

import json
from pathlib import Path

import numpy as np
import pytest

from nephroscale.glomeruli.annotation_formats.base import DrawnObject, UnreadableAnnotationError
from nephroscale.glomeruli.annotation_formats.registry import read_objects

SQUARE = [[100, 100], [400, 100], [400, 400], [100, 400]]
FLAT = [value for point in SQUARE for value in point]


def read(tmp_path: Path, content: object) -> list[DrawnObject]:
    (tmp_path / "a.json").write_text(json.dumps(content))
    return read_objects(tmp_path / "a.json")


def test_coco(tmp_path: Path) -> None:
    runs = {"size": [8, 20], "counts": [17, *[6, 2] * 4, 6, 105]}  # rows 1 to 6 of the columns 2 to 6
    content = {
        "images": [{"id": 7, "file_name": "a.svs"}],
        "categories": [{"id": 1, "name": "glomerulus"}, {"id": 2, "name": "tubule"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "segmentation": [FLAT]},
            {"id": 2, "image_id": 7, "category_id": 2, "segmentation": [FLAT, [0, 0, 10, 0, 10, 10]]},
            {"id": 3, "image_id": 7, "category_id": 1, "segmentation": runs, "iscrowd": 1},
            {"id": 4, "image_id": 7, "category_id": 1, "segmentation": [], "bbox": [0, 0, 9, 9]},
        ],
    }
    one, two, three, four = read(tmp_path, content)
    assert (one.area.area, one.labels, one.fault) == (90000, ("glomerulus",), "")
    assert (two.area.area, two.labels) == (90050, ("tubule",))
    assert (one.frame, three.frame) == (None, (20, 8))
    assert three.area.centroid.coords[0] == pytest.approx((4.5, 4), abs=0.1)
    assert "box" in four.fault
    content["annotations"][0]["image_id"] = 8
    with pytest.raises(UnreadableAnnotationError, match="2 images"):
        read(tmp_path, content)
    del content["annotations"][0]
    content["images"].append({"id": 8, "file_name": "b.svs"})
    with pytest.raises(UnreadableAnnotationError, match="2 images"):
        read(tmp_path, content)
    del content["images"][1]
    content["annotations"][1]["segmentation"]["counts"] = "05b0"
    assert "compressed" in read(tmp_path, content)[1].fault


@pytest.mark.parametrize(
    ("segmentation", "fault"),
    [
        ([FLAT[:-1]], "without two coordinates"),
        ([[True, *FLAT[1:]]], "no number: 'True'"),
        ({"size": [8, 20], "counts": [17, 6]}, "do not fill"),
        ({"size": [8, 20], "counts": [17, -6, 149]}, "do not fill"),
        ({"size": [200_000, 200_000], "counts": [0, 200_000 * 200_000]}, "too large"),
    ],
)
def test_a_wrong_mask_or_polygon_is_the_fault_of_this_object(tmp_path: Path, segmentation: object, fault: str) -> None:
    annotations = [{"image_id": 1, "category_id": 1, "segmentation": each} for each in (segmentation, [FLAT])]
    content = {"categories": [{"id": 1, "name": "glomerulus"}], "annotations": annotations}
    wrong, right = read(tmp_path, content)
    assert fault in wrong.fault
    assert right.area.area == 90000


def test_a_mask_of_a_large_picture_is_decoded_around_its_object(tmp_path: Path) -> None:
    inside = np.zeros((300, 400), bool)
    inside[100:200, 50:90] = True
    height, before = 40_000, 1_000_000
    runs = [before * height + 50 * height + 100, *[100, height - 100] * 39, 100]
    mask = {"size": [height, 2 * before], "counts": [*runs, height * 2 * before - sum(runs)]}
    annotation = {"image_id": 1, "category_id": 1, "segmentation": mask}
    (one,) = read(tmp_path, {"categories": [{"id": 1, "name": "glomerulus"}], "annotations": [annotation]})
    assert one.area.bounds == pytest.approx((before + 50, 100, before + 90, 200), abs=0.01)
    assert one.area.area == pytest.approx(inside.sum(), abs=20)


def test_hubmap_polygons(tmp_path: Path) -> None:
    assert [one.area.area for one in read(tmp_path, [SQUARE, SQUARE])] == [90000, 90000]
    line = {"id": "a", "annotations": [{"type": "glomerulus", "coordinates": [SQUARE]}]}
    (one,) = read(tmp_path, line)
    assert (one.area.area, one.labels) == (90000, ("glomerulus",))


def test_labelme(tmp_path: Path) -> None:
    shapes = [
        {"label": "glomerulus", "points": SQUARE, "shape_type": "polygon", "group_id": None},
        {"label": "glomerulus", "points": [[0, 0], [30, 20]], "shape_type": "rectangle"},
        {"label": "glomerulus", "points": [[50, 50], [60, 50]], "shape_type": "circle"},
        {"label": "glomerulus", "points": SQUARE, "shape_type": "oriented_rectangle"},
        {"label": "glomerulus", "points": [[50, 50]], "shape_type": "point"},
    ]
    content = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": "a.png", "imageData": None}
    content |= {"imageWidth": 640, "imageHeight": 480}
    *areas, point = read(tmp_path, content)
    assert [one.area.area for one in areas] == pytest.approx([90000, 600, np.pi * 100, 90000], rel=0.01)
    assert {one.labels for one in areas} == {("glomerulus",)}
    assert {one.frame for one in areas} == {(640, 480)}
    assert "point" in point.fault


def test_digital_slide_archive(tmp_path: Path) -> None:
    hole = [[200, 200, 0], [210, 200, 0], [210, 210, 0]]
    line = {"type": "polyline", "points": [[*point, 0] for point in SQUARE]}
    box = {"center": [100, 50, 0], "width": 40, "height": 20, "rotation": np.pi / 2, "group": "glomeruli"}
    elements = [
        {**line, "closed": True, "holes": [hole], "label": {"value": "globally sclerotic"}, "group": "glomeruli"},
        {**line, "closed": False},
        {**box, "type": "rectangle"},
        {**box, "type": "ellipse"},
        {"type": "circle", "center": [0, 0, 0], "radius": 10},
        {"type": "arrow", "points": [[0, 0, 0], [1, 1, 0]]},
    ]
    annotation = {"name": "Reader 1", "elements": elements}
    for content in (annotation, {"_id": "0", "annotation": annotation}, [{"annotation": annotation}]):
        first, open_line, rectangle, ellipse, circle, arrow = read(tmp_path, content)
        assert (first.area.area, first.labels) == (89950, ("globally sclerotic", "glomeruli", "Reader 1"))
        assert rectangle.area.bounds == pytest.approx((90, 30, 110, 70))
        assert ellipse.area.bounds == pytest.approx((90, 30, 110, 70))
        assert circle.area.area == pytest.approx(np.pi * 100, rel=0.01)
        assert open_line.fault
        assert arrow.fault
