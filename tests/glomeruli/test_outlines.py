import json
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from roifile import ImagejRoi
from shapely.geometry import MultiPolygon, Polygon, box, mapping

from nephroscale.errors import Rejected
from nephroscale.glomeruli.outlines import describe, outlines_on, read_outlines
from nephroscale.glomeruli.settings import OutlineSettings
from nephroscale.glomeruli.tile_view import TileView
from nephroscale.slides.tile_reader import open_tiles

TUBULE = "is of the class 'Tubule': glomeruli.classes does not have it"


def feature(geometry: object, label: str | None = None, **properties: object) -> dict:
    if label:
        properties["classification"] = {"name": label}
    return {"type": "Feature", "geometry": geometry and mapping(geometry), "properties": properties}


def write(folder: Path, *features: dict) -> Path:
    (folder / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return folder / "a.geojson"


def test_outlines_of_other_classes_are_left_out_with_the_reason(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        feature(box(0, 0, 5, 5), "Glomerulus"),
        feature(box(0, 0, 9, 9), "Tubule"),
        feature(box(0, 0, 3, 3), "Glomerulus: Sclerosed"),
        feature(box(0, 0, 1, 1), name="Tissue"),
        feature(None, "Glomerulus"),
        feature(box(0, 0, 90, 90), "Annotated area"),
    )
    drawn = read_outlines(path)
    assert [(one.polygon.area, one.sclerosed) for one in drawn.outlines] == [(25, False), (9, True)]
    assert drawn.left_out == {"has no class, but others have one": 1, TUBULE: 1, "has no geometry": 1}
    assert [area.area for area in drawn.areas or []] == [8100]


def test_without_classes_every_outline_counts(tmp_path: Path) -> None:
    parts = MultiPolygon([box(10, 0, 12, 2), box(20, 0, 22, 2)])
    drawn = read_outlines(write(tmp_path, feature(box(0, 0, 5, 5)), feature(parts), feature(box(0, 0, 9, 9), "Tubule")))
    assert [polygon.area for polygon in drawn.polygons] == [25, 4, 4]
    assert drawn.areas is None


def test_classes_are_those_of_the_settings(tmp_path: Path) -> None:
    path = write(tmp_path, feature(box(0, 0, 5, 5), "G"), feature(box(0, 0, 9, 9), "Tubule"))
    drawn = read_outlines(path, {"G": "glomerulus", "Tubule": "other"})
    assert [polygon.area for polygon in drawn.polygons] == [25]
    assert drawn.left_out == {}


def test_self_intersections_are_repaired(tmp_path: Path) -> None:
    drawn = read_outlines(write(tmp_path, feature(Polygon([(0, 0), (10, 10), (10, 0), (0, 10)]))))
    assert [polygon.area for polygon in drawn.polygons] == [25, 25]
    assert all(polygon.is_valid for polygon in drawn.polygons)


def test_a_file_at_fault_rejects_the_slide_without_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.geojson").write_text("[{")
    with pytest.raises(Rejected, match="its annotation cannot be read: it is damaged") as rejected:
        read_outlines(tmp_path / "a.geojson")
    assert "a.geojson" not in rejected.value.reason


class TestOnASlide:
    """A slide of 448 x 640 pixels at 2 µm whose raw pixels are half as large and begin at 100, 40."""

    @pytest.fixture
    def view(self, om_slide: tuple[Path, list[Polygon]]) -> TileView:
        return TileView.at_scale(open_tiles(om_slide[0]), 4.0)

    def test_outlines_are_held_against_the_limits_and_the_slide(self, view: TileView, tmp_path: Path) -> None:
        good = [box(300 + 250 * k, 300, 500 + 250 * k, 500) for k in range(3)]
        small, large, outside = box(200, 200, 240, 240), box(110, 50, 1100, 900), box(90000, 0, 90200, 200)
        path = write(tmp_path, *[feature(one) for one in (*good, small, large, outside)])
        drawn = outlines_on(view, path, OutlineSettings())
        assert [polygon.area for polygon in drawn.polygons] == [2500] * 3  # 200 µm at 4 µm per pixel
        assert drawn.polygons[0].bounds == (50, 65, 100, 115)
        assert drawn.left_out == {
            "is larger than 400 µm (glomeruli.max_diameter_um)": 1,
            "is smaller than 60 µm (glomeruli.min_diameter_um)": 1,
            "is outside the slide": 1,
        }
        assert [polygon.area for polygon in drawn.unknown] == [100]

    @pytest.mark.slow
    def test_an_annotation_of_another_slide_or_scale_is_rejected(self, view: TileView, tmp_path: Path) -> None:
        away = [feature(box(90000 + 300 * k, 0, 90200 + 300 * k, 200)) for k in range(4)]
        with pytest.raises(Rejected, match="4 of the 5 outlines of its annotation are outside the slide"):
            outlines_on(view, write(tmp_path, feature(box(300, 300, 500, 500)), *away), OutlineSettings())
        shrunk = [feature(box(200 + 60 * k, 200, 240 + 60 * k, 240)) for k in range(4)]
        with pytest.raises(Rejected, match=r"no usable outline .*4 left out: is smaller than 60 µm"):
            outlines_on(view, write(tmp_path, *shrunk), OutlineSettings())
        lowered = replace(OutlineSettings(), min_diameter_um=20.0)
        assert len(outlines_on(view, write(tmp_path, *shrunk), lowered).outlines) == 4

    def test_outlines_on_glass_are_left_out_and_most_of_them_reject_the_slide(
        self, om_slide: tuple[Path, list[Polygon]], tmp_path: Path
    ) -> None:
        """The left half of the slide is tissue; outlines of a mirrored slide are on the right one."""
        tiles = open_tiles(om_slide[0])
        width, height = (int(side) for side in tiles.slide_px)
        mask = np.zeros((height // 8, width // 8), np.uint8)
        mask[:, : width // 16] = 255
        vars(tiles)["_mask"] = mask
        view = TileView.at_scale(tiles, 4.0)
        left = [box(x, 300, x + 160, 460) for x in (120, 300, 480)]
        right = [box(width - x - 160, 300, width - x, 460) for x in (20, 200, 380)]
        drawn = outlines_on(view, write(tmp_path, *map(feature, [*left, right[0]])), OutlineSettings())
        assert len(drawn.outlines) == 3
        assert drawn.left_out == {"lies where no tissue was found": 1}
        with pytest.raises(Rejected, match="3 of the 4 outlines of its annotation lie where no tissue was found"):
            outlines_on(view, write(tmp_path, *map(feature, [left[0], *right])), OutlineSettings())
        tiles.modality = "IM"  # a negative glomerulus is as dark as its surroundings
        assert len(outlines_on(view, write(tmp_path, *map(feature, right)), OutlineSettings()).outlines) == 3

    def test_two_outlines_of_one_glomerulus_count_once(self, view: TileView, tmp_path: Path) -> None:
        pair = [box(300, 300, 500, 500), box(340, 310, 540, 510)]
        beside = box(520, 300, 720, 500)
        drawn = outlines_on(view, write(tmp_path, *map(feature, [*pair, beside])), OutlineSettings())
        assert [round(one.bounds[0]) for one in drawn.polygons] == [50, 105]
        assert drawn.left_out == {"is a second outline of a glomerulus": 1}

    @pytest.mark.parametrize(("stated", "told"), [("1.0", ""), ("0", ""), ("", ""), ("0,5", "0.5"), ("2", "2")])
    def test_a_scale_in_the_annotation_that_contradicts_the_slide_is_told(
        self, stated: str, told: str, view: TileView, tmp_path: Path
    ) -> None:
        """The raw pixels are 1 µm wide."""
        corners = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in ((300, 300), (500, 300), (500, 500), (300, 500)))
        region = f'<Region Type="0" Text="Glomerulus"><Vertices>{corners}</Vertices></Region>'
        layer = f"<Annotation><Regions>{region}</Regions></Annotation>"
        (tmp_path / "a.xml").write_text(f'<Annotations MicronsPerPixel="{stated}">{layer}</Annotations>')
        drawn = outlines_on(view, tmp_path / "a.xml", OutlineSettings())
        assert len(drawn.outlines) == 1
        expected = f"its annotation states {told} µm per pixel, but the slide has 1: check"
        assert drawn.doubt.startswith(expected) if told else not drawn.doubt

    @pytest.mark.parametrize(("visible", "told"), [('Visible="0"', True), ('Visible="1"', False), ("", False)])
    def test_outlines_of_hidden_layers_count_and_are_told(
        self, visible: str, told: bool, view: TileView, tmp_path: Path
    ) -> None:
        layers = ""
        for name, state, x in (("Glomerulus", visible, 300), ("Tubule", 'Visible="0"', 600)):
            corners = "".join(f'<Vertex X="{a}" Y="{b}"/>' for a, b in box(x, 300, x + 200, 500).exterior.coords[:-1])
            region = f'<Region Type="0"><Vertices>{corners}</Vertices></Region>'
            layers += f'<Annotation Name="{name}" {state}><Regions>{region}</Regions></Annotation>'
        (tmp_path / "a.xml").write_text(f"<Annotations>{layers}</Annotations>")
        drawn = outlines_on(view, tmp_path / "a.xml", OutlineSettings())
        assert len(drawn.outlines) == 1
        assert (
            drawn.doubt.startswith("its annotation counts with the outlines of hidden layers (1")
            == told
            == bool(drawn.doubt)
        )

    @pytest.mark.parametrize("form", ["QuPath", "ImageJ"])
    @pytest.mark.parametrize("planes", [(0, 0), (2, 2), (1, 2)])
    def test_outlines_on_several_planes_of_a_stack_are_told(
        self, form: str, planes: tuple[int, int], view: TileView, tmp_path: Path
    ) -> None:
        path, squares = tmp_path / "a", [box(x, 300, x + 200, 500) for x in (300, 600)]
        if form == "QuPath":
            content = [feature(square, "Glomerulus") for square in squares]
            for one, plane in zip(content, planes, strict=True):
                one["geometry"]["plane"] = {"c": -1, "z": plane, "t": 0}
            path.write_text(json.dumps({"type": "FeatureCollection", "features": content}))
        else:
            with zipfile.ZipFile(path, "w") as archive:
                for square, plane in zip(squares, planes, strict=True):
                    drawn = ImagejRoi.frompoints(np.array(square.exterior.coords[:-1]))
                    drawn.position = plane
                    archive.writestr(f"{square.bounds[0]}.roi", drawn.tobytes())
        drawn = outlines_on(view, path, OutlineSettings())
        assert len(drawn.outlines) == 2
        assert drawn.doubt.startswith("its annotation has outlines on 2 planes") == (planes == (1, 2))
        assert bool(drawn.doubt) == (planes == (1, 2))

    def test_an_annotated_area_may_be_without_glomeruli(self, view: TileView, tmp_path: Path) -> None:
        drawn = outlines_on(view, write(tmp_path, feature(box(100, 40, 500, 440), "Annotated area")), OutlineSettings())
        assert drawn.outlines == []
        assert [area.bounds for area in drawn.areas or []] == [(0, 0, 100, 100)]
        with pytest.raises(Rejected, match="it is empty"):
            outlines_on(view, write(tmp_path), OutlineSettings())

    def test_an_annotation_of_a_picture_of_another_size_is_rejected(self, view: TileView, tmp_path: Path) -> None:
        width, height = (int(side) for side in view.tiles.slide_px)
        mask = np.zeros((height, width), np.uint8)
        mask[300:500, 300:500] = 1
        for name, pixels in (("whole.png", mask), ("half.png", mask[::2, ::2])):
            Image.fromarray(pixels).save(tmp_path / name)
        assert len(outlines_on(view, tmp_path / "whole.png", OutlineSettings()).outlines) == 1
        with pytest.raises(Rejected, match=f"a picture of {width // 2} x {height // 2} pixels, but the slide has"):
            outlines_on(view, tmp_path / "half.png", OutlineSettings())

    def test_two_glomeruli_that_touch_in_a_mask_are_two(self, view: TileView, tmp_path: Path) -> None:
        width, height = (int(side) for side in view.tiles.slide_px)
        mask = np.zeros((height, width), np.uint8)
        for centre in (300, 488):
            cv2.circle(mask, (centre, 300), 100, 255, -1)
        Image.fromarray(mask).save(tmp_path / "a.png")
        drawn = outlines_on(view, tmp_path / "a.png", OutlineSettings(min_diameter_um=20))
        assert len(drawn.outlines) == 2
        assert "several round bodies (1)" in drawn.doubt
        mask[:, 394:] //= 2  # a value for each glomerulus
        Image.fromarray(mask).save(tmp_path / "a.png")
        drawn = outlines_on(view, tmp_path / "a.png", OutlineSettings(min_diameter_um=20))
        assert (len(drawn.outlines), drawn.doubt) == (2, "")

    def test_a_glomerulus_counts_once_and_nothing_is_known_where_one_is_uncertain(
        self, view: TileView, tmp_path: Path
    ) -> None:
        whole, tuft, doubt = box(300, 300, 500, 500), box(320, 320, 480, 480), box(600, 300, 800, 500)
        objects = [feature(tuft, "glom"), feature(whole, "glom"), feature(whole, "glom"), feature(doubt, "glom?")]
        drawn = outlines_on(view, write(tmp_path, *objects), OutlineSettings())
        assert [polygon.area for polygon in drawn.polygons] == [2500]
        assert drawn.left_out == {"is of the class 'glom?': it is uncertain": 1, "lies inside another outline": 2}
        assert [polygon.area for polygon in drawn.unknown] == [2500]


def test_reasons_are_written_with_their_numbers() -> None:
    assert describe({"is a line": 2, "has no area": 1}) == "1 left out: has no area; 2 left out: is a line"


def test_real_files(shared: Path) -> None:
    data = shared / "data"
    hubmap = read_outlines(data / "annotations/hubmap_aaa6a05cc.json")
    assert len(hubmap.outlines) == 96
    assert hubmap.polygons[0].bounds == (2491, 12397, 2731, 12673)
    assert hubmap.left_out == {}
    assert len(read_outlines(data / "annotations/TCGA-EJ-5518-01Z-00-DX1.xml").outlines) == 4
    other = read_outlines(data / "annotations/geojson_example.json")
    assert (len(other.outlines), sum(other.left_out.values())) == (0, 2)
    assert len(read_outlines(data / "kidney_om/0486052bb_positive_000096_mask.png").outlines) == 1
    for name, count in (("C1", 7), ("C2", 6)):
        polygons = read_outlines(data / f"kidney_om/vegf_ihc_{name}.imagej_rois.zip").polygons
        assert len(polygons) == count
        assert all(15000 < polygon.area < 26000 for polygon in polygons)
        assert all(polygon.is_valid for polygon in polygons)
    assert np.isfinite([polygon.area for polygon in hubmap.polygons]).all()
