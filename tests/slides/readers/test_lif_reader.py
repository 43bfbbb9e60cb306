import numpy as np
import pytest

from nephroscale.errors import Rejected
from nephroscale.slides.facts import describe_image
from nephroscale.slides.field import open_field
from nephroscale.slides.headers import read_header
from nephroscale.slides.readers.registry import choose_reader, open_slide
from support.microscopes import LifImage, write_lif

pytest.importorskip("liffile", reason="the extra im-formats is not installed")


def grey(shape, dtype=np.uint16, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def whole(path, page=None):
    with open_slide(path, choose_reader(path, page), page) as slide:
        pixels, valid = slide.read_level(0, 0, 0, slide.width, slide.height)
        assert valid.all()
        return pixels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_8_and_16_bits_are_kept(tmp_path, dtype):
    pixels = grey((48, 64), dtype)
    path = write_lif(tmp_path / "a.lif", [LifImage(pixels, bits=12 if dtype == np.uint16 else 8)])
    with open_slide(path) as slide:
        assert (slide.width, slide.height, slide.channels, slide.dtype) == (64, 48, 1, dtype)
        assert not slide.rgb
        np.testing.assert_array_equal(slide.read_level(0, 60, 40, 10, 10)[0][:8, :4, 0], pixels[40:, 60:])


@pytest.mark.parametrize("axes", [(0, 2, 1), (2, 0, 1), (2, 1, 0)])
def test_channels_are_found_wherever_they_lie(tmp_path, make_row, axes):
    pixels = grey((2, 48, 64)) // 2
    stored = np.ascontiguousarray(pixels.transpose([(0, 2, 1).index(axis) for axis in axes]))
    dye = "<ChannelProperty><Key>DyeName</Key><Value>FITC IgG</Value></ChannelProperty>"
    path = write_lif(tmp_path / "a.lif", [LifImage(stored, axes, channels=("Blue", "Green"))])
    np.testing.assert_array_equal(whole(path), pixels.transpose(1, 2, 0))
    facts = describe_image(path, make_row("IM", marker="IgG", channel="green"))
    assert (facts.reader, facts.channels, facts.dtype, facts.mpp) == ("lif_reader", 2, "uint16", 0.5)
    with open_slide(path) as slide:
        assert slide.channel_names == ("Blue", "Green")
        field = open_field(slide, make_row("IM", marker="IgG", channel="green"))
        np.testing.assert_array_equal(field.read_level(0, 0, 0, 64, 48)[0][..., 0], pixels[1])
    path = write_lif(tmp_path / "b.lif", [LifImage(pixels[0], more=dye)])
    with open_slide(path) as slide:
        assert slide.channel_names == ("FITC IgG",)


def test_images_and_stacks_need_a_choice(tmp_path):
    stack, single = grey((3, 2, 48, 64)), grey((32, 40), seed=1)
    across = LifImage(grey((4, 64)), axes=(3, 1))  # a section along Z
    images = [LifImage(stack, (3, 0, 2, 1), channels=("A", "B")), across, LifImage(single)]
    path = write_lif(tmp_path / "scan.lif", images)
    with pytest.raises(Rejected, match=r"4 pictures \(2 images, a stack along Z\); name one .*, as a.lif#2"):
        choose_reader(path)
    for page in (1, 2, 3):
        np.testing.assert_array_equal(whole(path, page), stack[page - 1].transpose(1, 2, 0))
    np.testing.assert_array_equal(whole(path, 4)[..., 0], single)
    assert read_header(path, "IM", 4)[:4] == ("lif", 40, 32, 0.5)
    with pytest.raises(Rejected, match="no picture #5, but 4"):
        choose_reader(path, 5)


@pytest.mark.parametrize(
    ("um", "mpp", "fault"), [((0.25, 0.25), 0.25, ""), ((0.5, 0.25), None, "not square"), ((0.0, 0.0), None, "")]
)
def test_the_scale_is_that_of_both_axes(tmp_path, um, mpp, fault):
    header = read_header(write_lif(tmp_path / "a.lif", [LifImage(grey((48, 64)), um=um)]), "IM")
    assert header.mpp == (None if mpp is None else pytest.approx(mpp))
    assert not header.mpp_is_generic
    assert fault in header.scale_fault


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        ([LifImage(grey((48, 64)).astype(np.float32))], "not of 8 or 16 bits"),
        ([LifImage(grey((48, 64)).astype(np.uint32))], "not of 8 or 16 bits"),
        ([LifImage(grey((48, 64)), axes=(3, 1))], "no picture in the plane of X and Y"),
        ([], "no picture in the plane of X and Y"),
    ],
)
def test_what_is_not_read_is_refused_with_the_reason(tmp_path, images, reason):
    with pytest.raises(Rejected, match=reason):
        choose_reader(write_lif(tmp_path / "a.lif", images))


def test_colours_are_refused(tmp_path):
    path = write_lif(tmp_path / "a.lif", [LifImage(grey((48, 64)))])
    content = path.read_bytes()
    tag = [f'ChannelTag="{n}"'.encode("utf-16-le") for n in (0, 1)]
    path.write_bytes(content.replace(*tag))
    with pytest.raises(Rejected, match="colours are not supported; export"):
        choose_reader(path)


def test_files_truncated_anywhere_are_refused(tmp_path):
    content = write_lif(tmp_path / "a.lif", [LifImage(grey((48, 64))), LifImage(grey((48, 64)))]).read_bytes()
    path = tmp_path / "b.lif"
    for place in [*range(1, 20), 20 - 1 / len(content)]:
        path.write_bytes(content[: int(len(content) * place / 20)])
        for page in (1, 2):
            with pytest.raises(Rejected, match="truncated"):
                choose_reader(path, page)


def test_damaged_bytes_never_crash(tmp_path):
    rng = np.random.default_rng(0)
    content = write_lif(tmp_path / "a.lif", [LifImage(grey((2, 16, 16)), (3, 2, 1))]).read_bytes()
    path = tmp_path / "b.lif"
    refused = 0
    for _ in range(300):
        data = np.frombuffer(content, np.uint8).copy()
        data[rng.integers(0, len(data), 3)] = rng.integers(0, 256, 3)
        path.write_bytes(data.tobytes())
        try:
            whole(path, 1)
        except Rejected:
            refused += 1
    assert 0 < refused < 300
