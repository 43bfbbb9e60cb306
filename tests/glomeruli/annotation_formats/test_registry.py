import gzip
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nephroscale.glomeruli.annotation_formats.base import UnreadableAnnotationError
from nephroscale.glomeruli.annotation_formats.registry import read_objects
from support.imagej_roi import roi

SQUARE = [(10, 20), (30, 20), (30, 50), (10, 50)]
FEATURE = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [SQUARE]}, "properties": {}}


def test_geojson_is_read_in_all_its_forms(tmp_path: Path) -> None:
    path = tmp_path / "a"
    collection = {"type": "FeatureCollection", "features": [FEATURE, FEATURE]}
    text = json.dumps(collection)
    for data in (
        text.encode(),
        json.dumps([FEATURE, FEATURE]).encode(),
        "\n".join([json.dumps(FEATURE)] * 2).encode(),
        text.encode("utf-8-sig"),
        text.encode("utf-16"),
        text.encode("utf-16-le"),
        text.encode("utf-16-be"),
        text.encode("utf-32"),
        gzip.compress(text.encode()),
    ):
        path.write_bytes(data)
        assert [one.area.area for one in read_objects(path)] == [600, 600]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.geojson", text)
    assert len(read_objects(path)) == 2
    for empty in (b"[]", b"{}"):
        path.write_bytes(empty)
        assert read_objects(path) == []


def test_xml_with_a_document_type_is_refused(tmp_path: Path) -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbb">]><Annotations>&b;</Annotations>'
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "a.xml").write_bytes(bomb.encode(encoding))
        with pytest.raises(UnreadableAnnotationError, match="DTD"):
            read_objects(tmp_path / "a.xml")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b" \r\n", "the file is empty"),
        (b"<annotations><ndpviewstate/></annotations>", "NDPA file of Hamamatsu"),
        (b'<annotations><image name="a"/></annotations>', "CVAT"),
        (b"<annotation><object/></annotation>", "Pascal VOC"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b'{"type": "Topology"}', "TopoJSON"),
        (b'{"a.jpg1": {"filename": "a.jpg", "regions": []}}', "VGG Image Annotator"),
        (b"x,y\n1,2\n", "format is unknown"),
        (b"null", "format is unknown"),
        ('{"type": "Feature", "name": "Glomérule"}'.encode("cp1252"), "not UTF-8"),
        ("<Annotations Name='Glomérule'/>".encode("cp1252"), "not UTF-8"),
        (b'{"type": "FeatureCollection"', "damaged"),
        (b"[1, 2]", "no known format"),
        (b'["a"]', "no known format"),
        (b'{"features": [1]}', "no object of JSON"),
        (b"[" * 100_000, "damaged"),
        (b"<other/>", "<other>"),
        (b"<Annotations", "damaged"),
        (roi(SQUARE)[:70], "truncated"),
        (b"PK\x03\x04broken", "damaged"),
        (b"\x89PNG\r\n\x1a\nbroken", "cannot be decoded"),
        (b"\x1f\x8bbroken", "damaged"),
    ],
)
def test_files_at_fault_are_named_with_their_fault(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.bin").write_bytes(data)
    with pytest.raises(UnreadableAnnotationError, match=message):
        read_objects(tmp_path / "a.bin")


KEYS = ["type", "geometry", "features", "coordinates", "properties", "classification", "shapes", "elements", "points"]
KEYS += ["annotations", "categories", "segmentation", "label", "annotation", "counts", "size", "id"]
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@pytest.mark.slow
@given(JSON)
def test_any_json_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: object) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(content))
    try:
        read_objects(path)
    except UnreadableAnnotationError as error:
        assert str(error)  # noqa: PT017
