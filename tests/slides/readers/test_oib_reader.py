import numpy as np
import pytest

from nephroscale.errors import Rejected
from nephroscale.slides.facts import describe_image
from nephroscale.slides.headers import read_header
from nephroscale.slides.readers.base import UnreadableRegion
from nephroscale.slides.readers.registry import choose_reader, open_slide
from support.fluoview_files import members, write_compound, write_oib

pytest.importorskip("olefile", reason="the extra im-formats is not installed")


def grey(seed=0, shape=(48, 64)):
    return np.random.default_rng(seed).integers(0, 1 << 15, shape, np.uint16)


def whole(path, page=None):
    with open_slide(path, choose_reader(path, page), page) as slide:
        pixels, valid = slide.read_level(0, 0, 0, slide.width, slide.height)
        assert valid.all()
        return pixels


def test_planes_are_read_as_in_an_oif(tmp_path, make_row):
    planes = {f"C00{c}Z00{z}": grey(10 * c + z) for c in (1, 2) for z in (1, 2)}
    path = write_oib(tmp_path / "scan.oib", members(planes, order="XYCZ", dyes=("DAPI", "IgG"), plane_um="0.25"))
    with pytest.raises(Rejected, match=r"2 pictures \(a stack along Z\); name one .*, as a.oib#2"):
        choose_reader(path)
    for page in (1, 2):
        expected = np.stack([planes[f"C00{c}Z00{page}"] for c in (1, 2)], axis=-1)
        np.testing.assert_array_equal(whole(path, page), expected)
        assert read_header(path, "IM", page)[:4] == ("oib", 64, 48, 0.25)
    path = write_oib(tmp_path / "one.oib", members({"C001": grey(), "C002": grey(1)}, dyes=("DAPI", "IgG")))
    facts = describe_image(path, make_row("IM", marker="IgG"))
    assert (facts.reader, facts.channels, facts.dtype, facts.mpp) == ("oib_reader", 2, "uint16", 0.5)


def test_the_reference_reader_reads_the_same(tmp_path):
    oiffile = pytest.importorskip("oiffile", reason="oiffile is not installed")
    planes = {f"C00{c}": grey(c) for c in (1, 2)}
    path = write_oib(tmp_path / "a.oib", members(planes))
    with oiffile.OifFile(path) as file:
        np.testing.assert_array_equal(np.moveaxis(file.asarray(), 0, -1), whole(path))


def test_other_compound_files_are_refused(tmp_path):
    path = write_compound(tmp_path / "a.doc", {"WordDocument": b"text"}, {})
    with pytest.raises(Rejected, match="compound file of another program"):
        choose_reader(path)
    with pytest.raises(Rejected, match=r"it is a ZVI file of Zeiss, which is not read; export"):
        choose_reader(path.rename(tmp_path / "a.zvi"))


def test_files_truncated_anywhere_are_refused(tmp_path):
    content = write_oib(tmp_path / "a.oib", members({"C001Z001": grey(), "C001Z002": grey()})).read_bytes()
    path = tmp_path / "b.oib"
    for place in [*range(1, 20), 20 - 1 / len(content)]:
        path.write_bytes(content[: int(len(content) * place / 20)])
        with pytest.raises(Rejected, match="truncated"):
            choose_reader(path, 2)


def test_damaged_bytes_never_crash(tmp_path):
    rng = np.random.default_rng(0)
    content = write_oib(tmp_path / "a.oib", members({"C001": grey(shape=(16, 16))})).read_bytes()
    places = np.flatnonzero(np.frombuffer(content, np.uint8))
    path = tmp_path / "b.oib"
    refused = 0
    for _ in range(60):
        data = np.frombuffer(content, np.uint8).copy()
        data[rng.choice(places, 3)] = rng.integers(0, 256, 3)
        path.write_bytes(data.tobytes())
        try:
            whole(path)
        except (Rejected, UnreadableRegion):
            refused += 1
    assert 0 < refused < 60
