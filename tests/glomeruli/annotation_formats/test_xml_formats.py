"""ImageScope, HALO and ASAP, each with files as their programs write them."""

from pathlib import Path

import numpy as np
import pytest

from nephroscale.glomeruli.annotation_formats.base import DrawnObject
from nephroscale.glomeruli.annotation_formats.registry import read_objects


def read(tmp_path: Path, text: str, encoding: str = "utf-8") -> list[DrawnObject]:
    (tmp_path / "a.xml").write_bytes(text.encode(encoding))
    return read_objects(tmp_path / "a.xml")


def box(x: float, y: float, side: float) -> list[tuple[float, float]]:
    return [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]


def region(points, kind: object = 0, negative: object = 0, text: str = "", corner: str = "Vertex") -> str:
    vertices = "".join(f'<{corner} X="{x}" Y="{y}"/>' for x, y in points)
    return f'<Region Type="{kind}" NegativeROA="{negative}" Text="{text}"><Vertices>{vertices}</Vertices></Region>'


def layer(*regions: str, name: str = "", description: str = "") -> str:
    attributes = f'<Attributes><Attribute Name="Description" Value="{description}"/></Attributes>'
    return f'<Annotation Name="{name}">{attributes}<Regions>{"".join(regions)}</Regions></Annotation>'


def document(*layers: str) -> str:
    return f'<Annotations MicronsPerPixel="0.25">{"".join(layers)}</Annotations>'


def areas(objects: list[DrawnObject]) -> list[float]:
    return [round(one.area.area) for one in objects if not one.fault]


@pytest.mark.parametrize("yes", ["1", "true", "True"])
def test_negative_regions_of_imagescope_are_holes_and_islands_in_them_stay(tmp_path: Path, yes: str) -> None:
    outer, hole, island = (region(box(0, 0, 300)), region(box(100, 100, 100), negative=yes), region(box(140, 140, 20)))
    for regions in ((outer, hole, island), (island, hole, outer)):
        assert sorted(areas(read(tmp_path, document(layer(*regions))))) == [400, 80000]


def test_a_layer_of_holes_alone_cuts_all_layers(tmp_path: Path) -> None:
    hole = region(box(40, 40, 20), negative=1)
    glomeruli, tubules = layer(region(box(0, 0, 100))), layer(region(box(30, 30, 50)))
    assert areas(read(tmp_path, document(glomeruli, layer(hole)))) == [9600]
    assert areas(read(tmp_path, document(glomeruli, layer(region(box(35, 35, 50)), hole), tubules))) == [
        10000,
        2100,
        2500,
    ]


def test_shapes_and_labels_of_imagescope(tmp_path: Path) -> None:
    corners = [(100, 100), (120, 110)]
    shapes = layer(
        region(corners, kind=2),
        region(corners, kind=1),
        region(corners, kind=3),  # an arrow
        region(box(0, 0, 10), text="Glomerulus 3"),
        name="Layer 1",
        description="PAS",
    )
    ellipse, rectangle, arrow, labelled = read(tmp_path, document(shapes))
    assert ellipse.area.area == pytest.approx(np.pi * 50, rel=0.01)
    (circle,) = read(tmp_path, document(layer(region(box(100, 100, 20), kind=2))))  # the box around it
    assert circle.area.area == pytest.approx(np.pi * 100, rel=0.01)
    assert rectangle.area.area == 200
    assert arrow.fault
    assert labelled.labels == ("Glomerulus 3", "Layer 1", "PAS")


def test_halo(tmp_path: Path) -> None:
    halo = layer(
        region(box(0, 0, 100), "Polygon", corner="V"),
        region(box(40, 40, 20), "Polygon", negative=1, corner="V"),
        region([(0, 0), (20, 10)], "Rectangle", corner="V"),
        region([(0, 0), (20, 10)], "Ellipse", corner="V"),
        region([(0, 0), (20, 10)], "Ruler", corner="V"),
        name="Glomerulus",
    )
    *found, ruler = read(tmp_path, document(halo))
    assert areas(found) == [9600, 200, 157]
    assert {one.labels for one in found} == {("Glomerulus",)}
    assert ruler.fault


def test_asap(tmp_path: Path) -> None:
    def annotation(kind: str, group: str, points) -> str:
        corners = [f'<Coordinate Order="{i}" X="{x}" Y="{y}"/>' for i, (x, y) in enumerate(points)]
        listed = "".join(corners[::2] + corners[1::2])  # the order is that of the attribute
        return (
            f'<Annotation Name="Annotation 0" Type="{kind}" PartOfGroup="{group}">'
            f"<Coordinates>{listed}</Coordinates></Annotation>"
        )

    square = box(0, 0, 100)
    drawn = annotation("Polygon", "sclerosed", square) + annotation("Spline", "None", square)
    drawn += annotation("Dot", "None", square[:1])
    groups = '<Group Name="sclerosed" PartOfGroup="glomeruli"/><Group Name="glomeruli" PartOfGroup="None"/>'
    text = f"<ASAP_Annotations><Annotations>{drawn}</Annotations><AnnotationGroups>{groups}</AnnotationGroups>"
    polygon, spline, dot = read(tmp_path, f'<?xml version="1.0"?>{text}</ASAP_Annotations>')
    assert (polygon.area.area, polygon.labels) == (10000, ("sclerosed", "glomeruli"))
    assert (spline.area.area, spline.labels) == (10000, ())
    assert dot.fault


def test_encodings_and_decimal_commas(tmp_path: Path) -> None:
    text = document(layer(region([("0,5", 0), (10, 0), (10, 10)]), name="肾小球"))
    for declared, actual in (("utf-16", "utf-8"), ("utf-16", "utf-16"), ("gb18030", "gb18030"), ("utf-8", "utf-8-sig")):
        (one,) = read(tmp_path, f'<?xml version="1.0" encoding="{declared}"?>{text}', actual)
        assert one.area.bounds[0] == 0.5
        assert one.labels == ("肾小球",)
