import numpy as np
import pytest

from nephroscale.errors import Rejected
from nephroscale.slides.facts import describe_image
from nephroscale.slides.field import open_field
from nephroscale.slides.headers import read_header
from nephroscale.slides.readers import nd2_reader
from nephroscale.slides.readers.base import UnreadableRegion
from nephroscale.slides.readers.registry import choose_reader, open_slide
from support.nd2_files import write_nd2

nd2 = pytest.importorskip("nd2", reason="the extra im-formats is not installed")


def grey(shape=(1, 48, 64, 1), dtype=np.uint16, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def whole(path, page=None):
    with open_slide(path, choose_reader(path, page), page) as slide:
        pixels, valid = slide.read_level(0, 0, 0, slide.width, slide.height)
        assert valid.all()
        return pixels


@pytest.mark.parametrize("compression", [0, 2])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_8_and_16_bits_are_kept(tmp_path, dtype, compression):
    pixels = grey(dtype=dtype)
    path = write_nd2(tmp_path / "a.nd2", pixels, compression=compression)
    with open_slide(path) as slide:
        assert (slide.width, slide.height, slide.channels, slide.dtype) == (64, 48, 1, dtype)
        assert not slide.rgb
        np.testing.assert_array_equal(slide.read_level(0, 60, 40, 10, 10)[0][:8, :4], pixels[0, 40:, 60:])
    with nd2.ND2File(path) as file:  # the package reads the same
        np.testing.assert_array_equal(file.read_frame(0), pixels[0, ..., 0])


@pytest.mark.parametrize("compression", [0, 2])
def test_rows_may_be_padded(tmp_path, compression):
    pixels = grey((1, 48, 63, 1))
    path = write_nd2(tmp_path / "a.nd2", pixels, row_bytes=128, compression=compression)
    np.testing.assert_array_equal(whole(path), pixels[0])


def test_channels_have_names_and_one_is_chosen_by_the_marker(tmp_path, make_row):
    pixels = grey((1, 48, 64, 2)) // 2
    path = write_nd2(tmp_path / "a.nd2", pixels, channels=("DAPI", "Anti-IgG"))
    facts = describe_image(path, make_row("IM", marker="IgG"))
    assert (facts.reader, facts.channels, facts.dtype, facts.mpp) == ("nd2_reader", 2, "uint16", 0.5)
    with open_slide(path) as slide:
        assert slide.channel_names == ("DAPI", "Anti-IgG")
        field = open_field(slide, make_row("IM", marker="IgG"))
        np.testing.assert_array_equal(field.read_level(0, 0, 0, 64, 48)[0][..., 0], pixels[0, ..., 1])


def test_frames_need_a_choice(tmp_path):
    frames = grey((6, 48, 64, 1))
    path = write_nd2(tmp_path / "scan.nd2", frames, axes=(("P", 2), ("Z", 3)), without=(4,))
    with pytest.raises(Rejected, match=r"6 pictures \(2 positions, a stack along Z\); name one .*, as a.nd2#2"):
        choose_reader(path)
    for page in (1, 2, 3, 4, 6):
        np.testing.assert_array_equal(whole(path, page), frames[page - 1])
        assert read_header(path, "IM", page)[:4] == ("nd2", 64, 48, 0.5)
    with pytest.raises(Rejected, match="picture #5 was not recorded"):  # the package gives zeros
        choose_reader(path, 5)
    with pytest.raises(Rejected, match="no picture #7, but 6"):
        choose_reader(path, 7)
    path = write_nd2(tmp_path / "time.nd2", frames, axes=(("T", 6),))
    with pytest.raises(Rejected, match=r"6 pictures \(a stack along T\)"):
        choose_reader(path)
    with pytest.raises(Rejected, match=r"6 pictures \(frames\)"):
        choose_reader(write_nd2(tmp_path / "frames.nd2", frames))


@pytest.mark.parametrize("um", [0.25, 1.0, None])
def test_the_scale_counts_where_the_image_is_calibrated(tmp_path, um):
    header = read_header(write_nd2(tmp_path / "a.nd2", grey(), um=um), "IM")
    assert (header.mpp, header.mpp_is_generic, header.scale_fault) == (um, False, "")


@pytest.mark.parametrize(
    ("shape", "dtype", "more", "reason"),
    [
        ((1, 48, 64, 1), np.uint32, {}, "not of 8 or 16 bits"),
        ((1, 48, 64, 3), np.uint8, {"colours": 3, "channels": ("Brightfield",)}, "colours are not supported; export"),
        ((1, 48, 64, 1), np.uint16, {"compression": 1}, "compression is not supported; save it uncompressed"),
        ((1, 48, 64, 1), np.uint16, {"uiTileWidth": 16, "uiTileHeight": 16}, "compression is not supported"),
        ((1, 1, 64, 1), np.uint16, {}, "no picture in the plane of X and Y"),
        ((1, 48, 64, 1), np.uint16, {"uiHeight": 49}, "damaged or truncated"),
        ((1, 48, 64, 1), np.uint16, {"uiHeight": 60_000, "uiWidth": 60_000, "compression": 0}, "damaged or truncated"),
    ],
)
def test_what_is_not_read_is_refused_with_the_reason(tmp_path, shape, dtype, more, reason):
    pixels = np.zeros(shape, np.uint32) if dtype == np.uint32 else grey(shape, dtype)
    with pytest.raises(Rejected, match=reason):
        choose_reader(write_nd2(tmp_path / "a.nd2", pixels, **more))


def test_compressed_frames_have_a_largest_size(tmp_path, monkeypatch):
    path = write_nd2(tmp_path / "a.nd2", grey(), compression=0)
    monkeypatch.setattr(nd2_reader, "MOST_FRAME_BYTES", 48 * 64 * 2 - 1)
    with pytest.raises(Rejected, match="too large for a compressed frame"):
        choose_reader(path)


def test_files_truncated_anywhere_are_refused(tmp_path):
    content = write_nd2(tmp_path / "a.nd2", grey((2, 48, 64, 1)), axes=(("Z", 2),)).read_bytes()
    path = tmp_path / "b.nd2"
    for place in [*range(1, 20), 20 - 1 / len(content)]:
        path.write_bytes(content[: int(len(content) * place / 20)])
        for page in (1, 2):
            with pytest.raises(Rejected, match="damaged or truncated"):
                choose_reader(path, page)


@pytest.mark.parametrize("compression", [0, 2])
def test_damaged_bytes_never_crash(tmp_path, compression):
    rng = np.random.default_rng(0)
    whole_file = write_nd2(tmp_path / "a.nd2", grey((2, 16, 16, 1)), axes=(("Z", 2),), compression=compression)
    content = np.frombuffer(whole_file.read_bytes(), np.uint8)
    places = np.flatnonzero(content)  # the rest is padding
    path = tmp_path / "b.nd2"
    refused = 0
    for _ in range(60):
        data = content.copy()
        data[rng.choice(places, 3)] = rng.integers(0, 256, 3)
        path.write_bytes(data.tobytes())
        try:
            whole(path, 1)
        except (Rejected, UnreadableRegion):
            refused += 1
    assert 0 < refused < 60
