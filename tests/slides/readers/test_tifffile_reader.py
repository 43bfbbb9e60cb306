import struct

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile

from nephroscale.errors import Rejected
from nephroscale.slides.facts import describe_image
from nephroscale.slides.field import named_channel
from nephroscale.slides.headers import read_header
from nephroscale.slides.readers import tifffile_reader
from nephroscale.slides.readers.base import UnreadableRegion
from nephroscale.slides.readers.registry import choose_reader, open_slide


def test_sixteen_bits_are_kept_tiled_or_not(tmp_path):
    image = np.arange(300 * 400, dtype=np.uint16).reshape(300, 400)
    for name, options in (("tiled", {"tile": (64, 64), "compression": "zlib"}), ("strips", {"rowsperstrip": 16})):
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, image, **options)
        assert choose_reader(path) == "tifffile_reader"
        with open_slide(path, "tifffile_reader") as slide:
            pixels, valid = slide.read_level(0, 390, 290, 20, 20)
            np.testing.assert_array_equal(pixels[:10, :10, 0], image[290:, 390:])
            assert valid.sum() == 100


def test_ome_tiff_gives_scale_names_and_levels(tmp_path):
    path = tmp_path / "a.ome.tif"
    image = np.random.default_rng(0).integers(0, 4000, (2, 256, 320), np.uint16)
    with tifffile.TiffWriter(path, ome=True) as tiff:
        metadata = {
            "axes": "CYX",
            "PhysicalSizeX": 325.0,
            "PhysicalSizeXUnit": "nm",
            "PhysicalSizeY": 0.325,
            "Channel": {"Name": ["DAPI", "IgG"]},
        }
        tiff.write(image, tile=(64, 64), subifds=1, metadata=metadata)
        tiff.write(image[:, ::2, ::2], tile=(64, 64), subfiletype=1)
    with open_slide(path) as slide:
        assert slide.mpp == pytest.approx(0.325)
        assert not slide.mpp_is_generic
        assert slide.channel_names == ("DAPI", "IgG")
        assert slide.downsamples == (1.0, 2.0)
        np.testing.assert_array_equal(
            slide.read_level(1, 5, 6, 7, 8)[0], np.moveaxis(image[:, 12:28:2, 10:24:2], 0, -1)
        )


def test_stacks_and_floats_are_rejected(tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((4, 64, 64), np.uint16), imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "float.tif", np.zeros((64, 64), np.float32))
    for name, reason in (("stack", "stack"), ("float", "float32")):
        with pytest.raises(Rejected, match=reason):
            choose_reader(tmp_path / f"{name}.tif")


def picture(seed=0):
    return np.random.default_rng(seed).integers(120, 250, (96, 128, 3)).astype(np.uint8)


def write_channels(path, pixels, **channel):
    metadata = {"axes": "CYX", "Channel": channel} if channel else {"axes": "CYX"}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(pixels, tile=(32, 32), photometric="minisblack", metadata=metadata)
    return open_slide(path)


def test_three_grey_channels_of_a_brightfield_picture_are_rgb(tmp_path):
    rgb = picture()
    planes = np.moveaxis(rgb, -1, 0)
    colours = [-16776961, 16711935, 65535]  # red, green and blue as OME has them
    for number, (pixels, channel) in enumerate(
        [
            (planes, {"Name": ["Red", "Green", "Blue"]}),
            (planes[::-1], {"Name": ["B", "G", "R"]}),
            (planes[[2, 0, 1]], {"Color": [colours[k] for k in (2, 0, 1)]}),
            (planes, {}),
            (planes, {"Name": ["Channel 0", "Channel 1", "Channel 2"]}),
        ]
    ):
        with write_channels(tmp_path / f"{number}.ome.tif", np.ascontiguousarray(pixels), **channel) as slide:
            assert slide.rgb
            np.testing.assert_array_equal(slide.read_level(0, 3, 5, 40, 30)[0], rgb[5:35, 3:43])


def test_three_channels_of_markers_stay_channels(tmp_path):
    planes = np.moveaxis(picture(), -1, 0)
    with write_channels(tmp_path / "a.ome.tif", planes, Name=["DAPI", "IgG", "C3"]) as slide:
        assert (slide.rgb, slide.channel_names) == (False, ("DAPI", "IgG", "C3"))
    with write_channels(tmp_path / "b.ome.tif", planes // 4) as slide:
        assert not slide.rgb


@pytest.mark.parametrize("tile", [None, (32, 32)])
@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
def test_transparent_pixels_are_not_in_the_file(tmp_path, tile, kind):
    rgb, alpha = picture(), np.full((96, 128), 255, np.uint8)
    alpha[:40], alpha[40:50], alpha[50:60] = 0, 100, 200
    stored = rgb if kind == "unassalpha" else np.rint(rgb * (alpha[..., None] / 255)).astype(np.uint8)
    stored[:40] = (255, 0, 255)  # rubbish below transparency
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.dstack([stored, alpha]), photometric="rgb", extrasamples=[kind], tile=tile, metadata=None)
    with open_slide(path) as slide:
        pixels, valid = slide.read_level(0, 0, 0, 128, 96)
    np.testing.assert_array_equal(valid, alpha > 127)
    assert np.abs(pixels[valid].astype(int) - rgb[valid]).max() <= 2


@pytest.mark.parametrize("compression", ["jpeg2000", "webp", "deflate", "channels"])
def test_tiles_that_the_file_does_not_have_are_not_valid(tmp_path, compression):
    path = tmp_path / "a.ome.tif"
    if compression == "channels":  # the other two channels have the tile
        write_channels(path, np.moveaxis(picture(), -1, 0)).close()
    else:
        tifffile.imwrite(path, picture(), photometric="rgb", tile=(32, 32), compression=compression)
    with tifffile.TiffFile(path) as tiff:
        tags = [tiff.pages[0].tags[number] for number in (324, 325)]
        forms = {3: "<H", 4: "<I", 16: "<Q"}
        places = [(tag.valueoffset, forms[int(tag.dtype)]) for tag in tags]
    with path.open("r+b") as file:
        for start, form in places:
            file.seek(start + 5 * struct.calcsize(form))  # the tile at row 1, column 1
            file.write(struct.pack(form, 0))
    with open_slide(path, "tifffile_reader") as slide:
        _, valid = slide.read_level(0, 0, 0, 128, 96)
    assert not valid[32:64, 32:64].any()
    assert valid.sum() == 96 * 128 - 32 * 32


@pytest.mark.parametrize("layout", [{"rowsperstrip": 32}, {"tile": (32, 128)}])
@pytest.mark.parametrize("cut", [True, False])
def test_jpeg_strips_and_tiles_that_end_early_cannot_be_read(tmp_path, layout, cut):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture(), photometric="rgb", compression="jpeg", metadata=None, **layout)
    with tifffile.TiffFile(path) as tiff:
        start, count = tiff.pages[0].dataoffsets[-1], tiff.pages[0].databytecounts[-1]
    middle, data = start + count // 2, path.read_bytes()
    path.write_bytes(data[:middle] if cut else data[:middle] + bytes(count - count // 2) + data[start + count :])
    with open_slide(path, "tifffile_reader") as slide:
        assert slide.read_level(0, 0, 0, 128, 64)[1].all()
        with pytest.raises(UnreadableRegion, match="damaged"):
            slide.read_level(0, 0, 60, 128, 36)


@pytest.mark.parametrize("compression", ["deflate", "packbits", "lzw", "jpeg"])
@pytest.mark.parametrize("layout", [{"rowsperstrip": 32}, {"tile": (32, 128)}])
def test_a_tile_or_strip_that_is_damaged_in_its_middle_cannot_be_read(tmp_path, layout, compression):
    texture = np.random.default_rng(0).integers(120, 255, (96, 128, 3), np.uint8)
    path, smooth = tmp_path / "a.tif", cv2.GaussianBlur(texture, (0, 0), 1)
    tifffile.imwrite(path, smooth, photometric="rgb", compression=compression, metadata=None, **layout)
    with tifffile.TiffFile(path) as tiff:
        start, count = tiff.pages[0].dataoffsets[1], tiff.pages[0].databytecounts[1]
    data = bytearray(path.read_bytes())
    data[start + count // 2 : start + count // 2 + 300] = bytes(300)
    path.write_bytes(data)
    with open_slide(path, choose_reader(path)) as slide:
        assert slide.read_level(0, 0, 0, 128, 32)[1].all()
        with pytest.raises(UnreadableRegion):
            slide.read_level(0, 0, 32, 128, 32)


def test_the_largest_image_is_the_picture(tmp_path):
    rgb = picture()
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(np.ascontiguousarray(rgb[::4, ::4]), photometric="rgb", metadata=None)
        tiff.write(rgb, photometric="rgb", tile=(32, 32), metadata=None)
        tiff.write(np.ascontiguousarray(rgb[::2, ::2]), photometric="rgb", metadata=None)
    with open_slide(tmp_path / "a.tif") as slide:
        assert (slide.width, slide.height) == (128, 96)
    with tifffile.TiffWriter(tmp_path / "b.tif") as tiff:
        for _ in range(2):
            tiff.write(rgb[..., 0], metadata=None)
            tiff.write(rgb[:9, :9, 0], metadata=None)
    with pytest.raises(Rejected, match=r"2 pictures \((2 scenes|a stack along .)\); name one"):
        choose_reader(tmp_path / "b.tif")


@pytest.mark.parametrize("name", ["macro image", "Label", "slide_1 thumbnail", "Macrophages"])
def test_images_that_ome_xml_calls_labels_or_macro_images_are_no_scenes(tmp_path, name):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for pixels, called in ((picture()[:80], name), (picture(), "slide")):
            tiff.write(pixels, photometric="rgb", metadata={"axes": "YXS", "Name": called})
    if name == "Macrophages":
        with pytest.raises(Rejected, match="2 scenes"):
            choose_reader(path)
        return
    with open_slide(path, choose_reader(path)) as slide:
        np.testing.assert_array_equal(slide.read_level(0, 0, 0, 128, 96)[0], picture())


@pytest.mark.parametrize("options", [{}, {"tile": (32, 32)}, {"tile": (32, 32), "compression": "jpeg"}])
def test_of_two_colour_pictures_of_one_size_none_is_chosen(tmp_path, options):
    rgb, path = picture(), tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        for pixels in (rgb, np.ascontiguousarray(rgb[::-1]), np.ascontiguousarray(rgb[::2, ::2])):
            tiff.write(pixels, photometric="rgb", metadata=None, **options)
    with pytest.raises(Rejected, match=r"2 pictures .*; name one"):
        choose_reader(path)
    with open_slide(path, choose_reader(path, 2), 2) as slide:
        pixels, _ = slide.read_level(0, 0, 0, 128, 96)
    assert np.abs(pixels.astype(int) - rgb[::-1]).mean() < (30 if "compression" in options else 0.1)


@pytest.mark.parametrize("tile", [None, (32, 32)])
def test_colours_that_are_no_rgb_are_converted_or_refused(tmp_path, tile):
    rgb, path = picture(), tmp_path / "a.tif"
    smooth = np.full_like(rgb, (180, 120, 200))
    ycbcr = cv2.cvtColor(smooth, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]]
    tifffile.imwrite(path, ycbcr, photometric="ycbcr", subsampling=(1, 1), tile=tile, metadata=None)
    with open_slide(path) as slide:
        assert np.abs(slide.read_level(0, 0, 0, 9, 9)[0].astype(int) - (180, 120, 200)).max() <= 2
    for kind in ("cielab", "icclab"):
        tifffile.imwrite(path, rgb, photometric=kind, tile=tile, metadata=None)
        with pytest.raises(Rejected, match="CIELab"):
            choose_reader(path)
    tifffile.imwrite(path, np.dstack([rgb, rgb[..., 0]]), photometric="separated", metadata=None)
    with pytest.raises(Rejected, match="CMYK"):
        choose_reader(path)
    tifffile.imwrite(path, rgb.view(np.int8), photometric="rgb", tile=tile, metadata=None)
    with pytest.raises(Rejected, match="type int8"):
        choose_reader(path)


def test_subsampled_colours_without_jpeg_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture(), photometric="ycbcr", metadata=None)
    whole, halved = (struct.pack("<HHIHH", 530, 3, 2, side, side) for side in (1, 2))
    assert whole in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(whole, halved))
    with pytest.raises(Rejected, match="YCbCr of an uncommon layout"):
        choose_reader(path)


def test_a_plane_of_a_stack_or_a_scene_is_read_by_its_number(tmp_path, make_row):
    rng = np.random.default_rng(0)
    scenes = [rng.integers(0, 900, (2, 3, 64, 80), np.uint16), rng.integers(0, 900, (3, 48, 96), np.uint16)]
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for scene, axes, side in zip(scenes, ("CZYX", "ZYX"), (0.5, 0.25), strict=True):
            tiff.write(
                scene, metadata={"axes": axes, "PhysicalSizeX": side, "PhysicalSizeY": side}, photometric="minisblack"
            )
        tiff.write(np.zeros((16, 16), np.uint16), photometric="minisblack")  # a preview
    with pytest.raises(Rejected, match=r"6 pictures \(2 scenes\); name one in the column path, as a.tif#2"):
        choose_reader(path)
    for number, planes, mpp in ((2, scenes[0][:, 1], 0.5), (6, scenes[1][2:], 0.25)):
        with open_slide(path, choose_reader(path, number), number) as slide:
            pixels, _ = slide.read_level(0, 0, 0, slide.width, slide.height)
            np.testing.assert_array_equal(np.moveaxis(pixels, -1, 0), planes)
            assert slide.mpp == mpp
    with pytest.raises(Rejected, match="no picture #7, but 6"):
        choose_reader(path, 7)
    facts = describe_image(path, make_row("IM", marker="IgG", page=5))
    assert (facts.page, facts.width, facts.mpp) == (5, 96, 0.25)
    header = read_header(path, "IM", 5)
    assert (header.width, header.mpp) == (96, 0.25)


@pytest.mark.parametrize("compression", [None, "lzw"])
def test_large_strips_are_decoded_once(tmp_path, monkeypatch, compression):
    image = np.random.default_rng(0).integers(0, 4000, (400, 300), np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, rowsperstrip=200, compression=compression, metadata=None)
    monkeypatch.setattr(tifffile_reader, "LARGE_STRIP", 200 * 300)
    with open_slide(path, "tifffile_reader") as slide:
        np.testing.assert_array_equal(slide.read_level(0, 10, 150, 40, 100)[0][..., 0], image[150:250, 10:50])
        assert isinstance(slide._array(0), np.memmap)
    monkeypatch.setattr(tifffile_reader, "LARGE_STRIP", 256 * 300 + 1)
    with open_slide(path, "tifffile_reader") as slide:
        np.testing.assert_array_equal(slide.read_level(0, 10, 150, 40, 100)[0][..., 0], image[150:250, 10:50])
        assert not isinstance(slide._array(0), np.ndarray)


def test_narrow_strips_are_decoded_once_if_a_region_needs_many_samples(tmp_path, monkeypatch):
    image = np.random.default_rng(0).integers(0, 4000, (400, 300), np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, rowsperstrip=5, compression="lzw", metadata=None)
    monkeypatch.setattr(tifffile_reader, "LARGE_STRIP", 256 * 300)
    with open_slide(path, "tifffile_reader") as slide:
        np.testing.assert_array_equal(slide.read_level(0, 10, 150, 40, 100)[0][..., 0], image[150:250, 10:50])
        assert isinstance(slide._array(0), np.memmap)


def test_samples_beside_grey_are_channels_unless_they_are_opacity(tmp_path):
    planes = np.random.default_rng(0).integers(0, 4000, (48, 64, 2)).astype(np.uint16)
    for kind, channels in (("unspecified", 2), ("unassalpha", 1)):
        options = {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": [kind]}
        tifffile.imwrite(tmp_path / "a.tif", planes, metadata=None, **options)
        with open_slide(tmp_path / "a.tif") as slide:
            pixels, valid = slide.read_level(0, 0, 0, 64, 48)
            np.testing.assert_array_equal(pixels, planes[..., :channels])
            assert valid.all() == (kind == "unspecified")


def test_the_labels_of_imagej_are_names_of_channels(tmp_path):
    metadata = {"axes": "CYX", "Labels": ["DAPI", "IgG"]}
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 48, 64), np.uint16), imagej=True, metadata=metadata)
    with open_slide(tmp_path / "a.tif") as slide:
        assert slide.channel_names == ("DAPI", "IgG")


@pytest.mark.parametrize("bright", [40_000, 65_535])
def test_unsigned_pixels_that_were_stored_as_signed_are_refused(tmp_path, bright):
    image = np.full((64, 80), 300, np.uint16)
    image[20:40, 20:40] = bright
    tifffile.imwrite(tmp_path / "a.tif", image.view(np.int16), tile=(64, 80))
    if bright == 65_535:  # -1 may be what a subtraction left
        with open_slide(tmp_path / "a.tif") as slide:
            assert slide.read_level(0, 0, 0, 80, 64)[0].max() == 300
    else:
        with pytest.raises(Rejected, match="signed and go down to -25536"):
            open_slide(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", np.full((64, 80), -5, np.int16), tile=(64, 80))
    with pytest.raises(Rejected, match="save unsigned 16 bits"):
        open_slide(tmp_path / "b.tif")


@pytest.mark.parametrize("kind", ["opacity", "infrared"])
def test_a_fourth_sample_without_a_kind_is_opacity_only_if_it_looks_so(tmp_path, kind):
    rng = np.random.default_rng(0)
    rgb = rng.integers(100, 250, (200, 300, 3)).astype(np.uint8)
    fourth = np.where(np.arange(300) < 90, 0, 255) if kind == "opacity" else rng.integers(40, 200, 300)
    image = np.dstack([rgb, np.broadcast_to(fourth.astype(np.uint8), (200, 300))])
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", extrasamples=["unspecified"], tile=(64, 64))
    if kind == "opacity":
        with open_slide(tmp_path / "a.tif") as slide:
            assert not slide.read_level(0, 0, 0, 90, 200)[1].any()
    else:
        with pytest.raises(Rejected, match=r"its fourth sample .* is no opacity; save red, green and blue alone"):
            open_slide(tmp_path / "a.tif")


def in_jpeg_2000(picture, *, transformed, ycbcr):
    stored = cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]] if ycbcr else picture
    for y in range(0, len(stored), 128):
        for x in range(0, stored.shape[1], 128):
            tile = np.ascontiguousarray(stored[y : y + 128, x : x + 128])
            yield imagecodecs.jpeg2k_encode(tile, level=45, reversible=False, mct=transformed, codecformat="j2k")


@pytest.mark.parametrize(
    ("compression", "photometric"), [(33003, "ycbcr"), (33003, "rgb"), (34712, "ycbcr"), (33005, "rgb")]
)
def test_colours_of_jpeg_2000_are_converted_where_its_decoder_does_not(tmp_path, picture, compression, photometric):
    part = picture[400:656, 600:856]
    tiles = in_jpeg_2000(part, transformed=photometric == "rgb", ycbcr=photometric == "ycbcr")
    options = {"photometric": photometric, "compression": compression, "tile": (128, 128), "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", tiles, shape=part.shape, dtype=np.uint8, **options)
    with open_slide(tmp_path / "a.tif") as slide:
        pixels = slide.read_level(0, 0, 0, 256, 256)[0]
    assert np.abs(pixels.astype(int) - part).mean() < 4


def test_packed_bits_of_which_the_lowest_is_white_are_turned_within_their_range(tmp_path):
    counts = np.linspace(0, 4095, 64 * 64).astype(np.uint16).reshape(64, 64)
    tifffile.imwrite(tmp_path / "a.tif", 4095 - counts, photometric="miniswhite", bitspersample=12, metadata=None)
    with open_slide(tmp_path / "a.tif") as slide:
        np.testing.assert_array_equal(slide.read_level(0, 0, 0, 64, 64)[0][..., 0], counts)


OME = """<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{own}">
<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="64" SizeY="64" SizeC="2" SizeZ="1"
SizeT="1"><Channel ID="Channel:0:0" Name="DAPI"/><Channel ID="Channel:0:1" Name="IgG"/>
<TiffData FirstC="{first}" IFD="0" PlaneCount="1"><UUID FileName="a.ome.tif">urn:uuid:{own}</UUID></TiffData>
<TiffData FirstC="{second}" IFD="0" PlaneCount="1"><UUID FileName="b.ome.tif">urn:uuid:{other}</UUID></TiffData>
</Pixels></Image></OME>"""


@pytest.mark.parametrize("held", ["DAPI", "IgG"])
def test_a_channel_whose_file_is_absent_is_refused(tmp_path, make_row, held):
    counts = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    first, second = (0, 1) if held == "DAPI" else (1, 0)
    own, other = (f"{digit * 8}-{digit * 4}-{digit * 4}-{digit * 4}-{digit * 12}" for digit in "12")
    xml = OME.format(own=own, other=other, first=first, second=second)
    tifffile.imwrite(tmp_path / "a.ome.tif", counts, description=xml, metadata=None)
    with open_slide(tmp_path / "a.ome.tif") as slide:
        if held == "IgG":
            channel = named_channel(slide, make_row("IM", marker="IgG"))
            np.testing.assert_array_equal(slide.read_level(0, 0, 0, 64, 64)[0][..., channel], counts)
        else:
            with pytest.raises(Rejected, match="name the channel 2, but the file does not have its pixels"):
                named_channel(slide, make_row("IM", marker="IgG"))


@pytest.mark.parametrize(("modality", "dtype"), [("OM", np.uint8), ("IM", np.uint16), ("TEM", np.uint8)])
def test_a_blank_page_that_is_larger_than_the_picture_is_refused(tmp_path, make_row, modality, dtype):
    colours = (3,) if modality == "OM" else ()
    options = {"photometric": "rgb" if colours else "minisblack", "metadata": None}
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(np.full((200, 300, *colours), 255 if colours else 0, dtype), **options)
        tiff.write(np.random.default_rng(0).integers(0, 255, (150, 200, *colours)).astype(dtype), **options)
    with pytest.raises(Rejected, match="its largest page is blank, but it has 1 more; name the one with the picture"):
        describe_image(tmp_path / "a.tif", make_row(modality))
