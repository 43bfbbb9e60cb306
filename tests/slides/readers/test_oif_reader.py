import shutil

import numpy as np
import pytest

from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.slides.facts import describe_image
from nephroscale.slides.field import open_field
from nephroscale.slides.headers import describe_header, read_header
from nephroscale.slides.raw import link_raw, list_files
from nephroscale.slides.readers.base import UnreadableRegion
from nephroscale.slides.readers.registry import choose_reader, open_slide
from support.fluoview_files import members, write_oif


def grey(seed=0, dtype=np.uint16, shape=(48, 64)):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def whole(path, page=None):
    with open_slide(path, choose_reader(path, page), page) as slide:
        pixels, valid = slide.read_level(0, 0, 0, slide.width, slide.height)
        assert valid.all()
        return pixels


@pytest.mark.parametrize("compression", [None, "lzw"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_8_and_16_bits_are_kept(tmp_path, dtype, compression):
    pixels = grey(dtype=dtype)
    path = write_oif(tmp_path / "a.oif", members({"C001": pixels}, compression=compression))
    with open_slide(path) as slide:
        assert (slide.width, slide.height, slide.channels, slide.dtype) == (64, 48, 1, dtype)
        assert not slide.rgb
        np.testing.assert_array_equal(slide.read_level(0, 60, 40, 10, 10)[0][:8, :4, 0], pixels[40:, 60:])


def test_channels_have_names_and_one_is_chosen_by_the_marker(tmp_path, make_row):
    planes = [grey(n) // 2 for n in range(2)]
    files = members({"C001": planes[0], "C002": planes[1], "C001-R001": grey(3, shape=(9, 9))}, dyes=("None", "IgG"))
    path = write_oif(tmp_path / "a.oif", files)
    facts = describe_image(path, make_row("IM", marker="IgG"))
    assert (facts.reader, facts.channels, facts.dtype, facts.mpp) == ("oif_reader", 2, "uint16", 0.5)
    with open_slide(path) as slide:
        assert slide.channel_names == ("CH1", "IgG")
        field = open_field(slide, make_row("IM", marker="IgG"))
        np.testing.assert_array_equal(field.read_level(0, 0, 0, 64, 48)[0][..., 0], planes[1])


def test_stacks_need_a_choice(tmp_path):
    planes = {f"C00{c}Z00{z}T00{t}": grey(100 * c + 10 * z + t) for c in (1, 2) for z in (1, 2, 3) for t in (1, 2)}
    path = write_oif(tmp_path / "scan.oif", members(planes, order="XYCZT"))
    with pytest.raises(Rejected, match=r"6 pictures \(a stack along Z, T\); name one .*, as a.oif#2"):
        choose_reader(path)
    order = [(z, t) for t in (1, 2) for z in (1, 2, 3)]
    for page, (z, t) in enumerate(order, start=1):
        expected = np.stack([planes[f"C00{c}Z00{z}T00{t}"] for c in (1, 2)], axis=-1)
        np.testing.assert_array_equal(whole(path, page), expected)
        assert read_header(path, "IM", page)[:4] == ("oif", 64, 48, 0.5)
    with pytest.raises(Rejected, match="no picture #7, but 6"):
        choose_reader(path, 7)
    (tmp_path / "scan.oif.files/s_C002Z002T001.tif").unlink()
    with pytest.raises(Rejected, match="planes of its stack are missing"):  # the numbers would be others
        choose_reader(path, 6)


@pytest.mark.parametrize(
    ("um", "plane_um", "mpp", "fault"),
    [
        (("0.25", "0.25"), "", 0.25, ""),
        (("0,207.0", "0,207.0"), "", 0.207, ""),
        (("0.25", "0.25"), "0.5", 0.5, ""),
        (("0.5", "0.25"), "", None, "not square"),
        (("0.0", "0.0"), "", None, "as the size of a pixel"),
        (None, "", None, ""),
    ],
)
def test_the_scale_is_that_of_the_plane(tmp_path, um, plane_um, mpp, fault):
    path = write_oif(tmp_path / "a.oif", members({"C001": grey()}, um=um, plane_um=plane_um))
    header = read_header(path, "IM")
    assert header.mpp == (None if mpp is None else pytest.approx(mpp))
    assert not header.mpp_is_generic
    assert fault in header.scale_fault


@pytest.mark.parametrize(
    ("planes", "more", "reason"),
    [
        ({"C001": grey()}, {"order": "XTC"}, "no picture in the plane of X and Y"),
        ({}, {}, "no picture in the plane of X and Y"),
        ({"C001": grey(), "C002Z001": grey()}, {}, "belong to several images"),
        ({"C001": grey(), "C002": grey(shape=(48, 65))}, {}, "different sizes"),
        ({"C001": grey().astype(np.float32)}, {}, "not of 8 or 16 bits"),
        ({"C001": grey(shape=(48, 64, 3))}, {}, "not of 8 or 16 bits"),
        ({"C001": grey()}, {"compression": "zlib"}, "compressed in an unknown way"),
    ],
)
def test_what_is_not_read_is_refused_with_the_reason(tmp_path, planes, more, reason):
    with pytest.raises(Rejected, match=reason):
        choose_reader(write_oif(tmp_path / "a.oif", members(planes, **more)))


def test_the_folder_belongs_to_the_file(tmp_path, make_row):
    pixels = grey()
    path = write_oif(tmp_path / "Müller 1.oif", members({"C001": pixels}, plane_um="0.5"))
    names = [name for name, _ in list_files(path)]
    assert names == ["slide.oif", "slide.oif.files/s_C001.pty", "slide.oif.files/s_C001.tif"]
    link = link_raw(path, tmp_path / "links")
    np.testing.assert_array_equal(whole(link)[..., 0], pixels)
    (path.with_name(f"{path.name}.files") / "s_C001.pty").unlink()
    link_raw(path, tmp_path / "links")
    assert not (tmp_path / "links/slide.oif.files/s_C001.pty").is_symlink()
    (tmp_path / "elsewhere").mkdir()
    other = tmp_path / "elsewhere/a.oif"
    other.symlink_to(path)
    np.testing.assert_array_equal(whole(other)[..., 0], pixels)
    shutil.rmtree(path.with_name(f"{path.name}.files"))
    with pytest.raises(NephroscaleError, match=r"needs the folder of its pictures"):
        list_files(path)
    assert "its folder of planes is missing" in describe_header(path, make_row("IM", marker="IgG")).reason


def test_planes_truncated_anywhere_are_refused(tmp_path):
    path = write_oif(tmp_path / "a.oif", members({"C001": grey(), "C002": grey()}))
    plane = tmp_path / "a.oif.files/s_C002.tif"
    content = plane.read_bytes()
    for place in [*range(20), 20 - 1 / len(content)]:
        plane.write_bytes(content[: int(len(content) * place / 20)])
        with pytest.raises(Rejected, match="truncated"):
            choose_reader(path)


def test_damaged_bytes_never_crash(tmp_path):
    rng = np.random.default_rng(0)
    path = write_oif(tmp_path / "a.oif", members({"C001": grey(shape=(16, 16))}, compression="lzw"))
    files = [path, tmp_path / "a.oif.files/s_C001.tif"]
    refused = 0
    for turn in range(60):
        file = files[turn % 2]
        content = np.frombuffer(file.read_bytes(), np.uint8)
        data = content.copy()
        data[rng.integers(0, len(data), 3)] = rng.integers(0, 256, 3)
        file.write_bytes(data.tobytes())
        try:
            whole(path)
        except (Rejected, UnreadableRegion):
            refused += 1
        file.write_bytes(content.tobytes())
    assert 0 < refused < 60
