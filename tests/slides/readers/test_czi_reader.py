import struct

import numpy as np
import pytest

from nephroscale.errors import Rejected
from nephroscale.slides.facts import describe_image
from nephroscale.slides.field import open_field
from nephroscale.slides.headers import read_header
from nephroscale.slides.readers.base import UnreadableRegion
from nephroscale.slides.readers.registry import choose_reader, open_slide
from support.microscopes import Tile, write_czi

pytest.importorskip("czifile", reason="the extra im-formats is not installed")


def grey(seed, shape=(48, 64), dtype=np.uint16):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def whole(path, page=None):
    with open_slide(path, choose_reader(path, page), page) as slide:
        return slide.read_level(0, 0, 0, slide.width, slide.height)


@pytest.mark.parametrize("compression", [0, 4, 5, 6])
@pytest.mark.parametrize(("dtype", "shape"), [(np.uint8, (48, 64)), (np.uint16, (48, 64)), (np.uint8, (48, 64, 3))])
def test_each_compression_gives_the_same_pixels(tmp_path, compression, dtype, shape):
    pixels = grey(0, shape, dtype)
    path = write_czi(tmp_path / "a.czi", [Tile(pixels, compression=compression)])
    with open_slide(path) as slide:
        assert slide.rgb == (len(shape) == 3)
        assert (slide.width, slide.height, slide.dtype) == (64, 48, dtype)
        found, valid = slide.read_level(0, 10, 5, 30, 20)
        np.testing.assert_array_equal(found, np.atleast_3d(pixels)[5:25, 10:40])
        assert valid.all()


def test_a_mosaic_is_joined_by_position_and_reduced_copies_are_left_out(tmp_path):
    a, b = grey(1), grey(2)
    tiles = [
        Tile(b, 1050, 2010, {"C": 0, "M": 1}),  # later in the order of tiles, first in the file
        Tile(a, 1000, 2000, {"C": 0, "M": 0}),
        Tile(grey(3, (29, 57)), 1000, 2000, {"C": 0}, reduced=2),
    ]
    path = write_czi(tmp_path / "a.czi", tiles)
    expected, has = np.zeros((58, 114), np.uint16), np.zeros((58, 114), bool)
    expected[:48, :64], has[:48, :64] = a, True
    expected[10:58, 50:114], has[10:58, 50:114] = b, True
    pixels, valid = whole(path)
    np.testing.assert_array_equal(valid, has)
    np.testing.assert_array_equal(pixels[..., 0], expected)
    with open_slide(path) as slide:
        part, there = slide.read_level(0, 40, -5, 90, 40)
        np.testing.assert_array_equal(part[5:, :74, 0], expected[:35, 40:])
        np.testing.assert_array_equal(there[5:, :74], has[:35, 40:])
        assert not there[:5].any()
        assert not there[:, 74:].any()


def test_channels_have_names_and_one_is_chosen_by_the_marker(tmp_path, make_row):
    planes = [grey(n) // 2 for n in range(2)]
    tiles = [Tile(pixels, at={"C": n}) for n, pixels in enumerate(planes)]
    path = write_czi(tmp_path / "a.czi", tiles, channels=("DAPI", "Anti-IgG"))
    facts = describe_image(path, make_row("IM", marker="IgG"))
    assert (facts.reader, facts.channels, facts.dtype, facts.mpp) == ("czi_reader", 2, "uint16", 0.5)
    with open_slide(path) as slide:
        assert slide.channel_names == ("DAPI", "Anti-IgG")
        field = open_field(slide, make_row("IM", marker="IgG"))
        np.testing.assert_array_equal(field.read_level(0, 0, 0, 64, 48)[0][..., 0], planes[1])
        with pytest.raises(Rejected, match="2 channels, and not exactly one is named after the marker"):
            open_field(slide, make_row("IM", marker="C3"))


def test_channels_of_8_and_16_bits_keep_their_values(tmp_path):
    small = grey(0, dtype=np.uint8)
    tiles = [Tile(small, at={"C": 0}), Tile(grey(1), at={"C": 1})]
    pixels, _ = whole(write_czi(tmp_path / "a.czi", tiles))
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels[..., 0], small)
    np.testing.assert_array_equal(pixels[..., 1], grey(1))


def test_stacks_and_scenes_need_a_choice(tmp_path):
    tiles = [Tile(grey(100 * s + z), 5000 * s, 0, {"Z": z, "C": 0, "S": s, "M": 0}) for s in range(2) for z in range(3)]
    path = write_czi(tmp_path / "scan.czi", tiles)
    with pytest.raises(Rejected, match=r"6 pictures \(2 scenes, a stack along Z\); name one .*, as a.czi#2"):
        choose_reader(path)
    for page, seed in enumerate((0, 1, 2, 100, 101, 102), start=1):
        np.testing.assert_array_equal(whole(path, page)[0][..., 0], grey(seed))
        assert read_header(path, "IM", page)[:4] == ("czi", 64, 48, 0.5)
    with pytest.raises(Rejected, match="no picture #7, but 6"):
        choose_reader(path, 7)


@pytest.mark.parametrize(
    ("um", "mpp", "fault"),
    [((0.25, 0.25), 0.25, ""), ((0.5, 0.25), None, "not square"), (None, None, ""), ((0.0, 0.0), None, "")],
)
def test_the_scale_is_that_of_both_axes(tmp_path, um, mpp, fault):
    header = read_header(write_czi(tmp_path / "a.czi", [Tile(grey(0))], um=um), "IM")
    assert header.mpp == mpp
    assert not header.mpp_is_generic
    assert fault in header.scale_fault


@pytest.mark.parametrize(
    ("tiles", "reason"),
    [
        ([Tile(grey(0).astype(np.float32))], "pixels of type Gray32Float are not supported"),
        ([Tile(grey(0), compression=1)], "compression is not supported; save it uncompressed"),
        ([Tile(grey(0), part=1)], "one of several files"),
        ([Tile(grey(0), 0, 0), Tile(grey(1), 2**30, 2**30)], "lie far apart"),
        ([Tile(grey(0, (48, 64, 3), np.uint8), at={"C": 0}), Tile(grey(0), at={"C": 1})], "a colour image beside"),
        ([Tile(grey(0), reduced=2)], "has no picture"),
        ([], "has no picture"),
    ],
)
def test_what_is_not_read_is_refused_with_the_reason(tmp_path, tiles, reason):
    with pytest.raises(Rejected, match=reason):
        choose_reader(write_czi(tmp_path / "a.czi", tiles))


@pytest.mark.parametrize("compression", [0, 4, 5, 6])
def test_truncated_files_are_refused_and_damaged_tiles_are_not_read(tmp_path, compression):
    tiles = [Tile(grey(0), at={"M": 0}, compression=compression), Tile(grey(1), 64, 0, {"M": 1}, compression)]
    content = write_czi(tmp_path / "a.czi", tiles).read_bytes()
    path = tmp_path / "b.czi"
    for place in range(1, 20):
        path.write_bytes(content[: len(content) * place // 20])
        with pytest.raises(Rejected, match=r"truncated|format is unknown"):
            choose_reader(path)
    start = content.index(b"ZISRAWSUBBLOCK") + 32
    length = struct.pack("<q", 100)
    path.write_bytes(content[: start + 8] + length + content[start + 16 :])  # of the first tile's pixels
    with open_slide(path) as slide:
        with pytest.raises(UnreadableRegion, match="truncated"):
            slide.read_level(0, 0, 0, 32, 32)
        np.testing.assert_array_equal(slide.read_level(0, 64, 0, 64, 48)[0][..., 0], grey(1))


def test_damaged_bytes_never_crash(tmp_path):
    rng = np.random.default_rng(0)
    content = write_czi(tmp_path / "a.czi", [Tile(grey(0, (16, 16)), compression=5)], channels=("A",)).read_bytes()
    path = tmp_path / "b.czi"
    refused = 0
    for _ in range(200):
        data = np.frombuffer(content, np.uint8).copy()
        data[rng.integers(0, len(data), 4)] = rng.integers(0, 256, 4)
        path.write_bytes(data.tobytes())
        try:
            whole(path, 1)
        except (Rejected, UnreadableRegion):
            refused += 1
    assert 0 < refused < 200
