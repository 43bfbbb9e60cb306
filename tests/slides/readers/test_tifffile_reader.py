import numpy as np
import pytest
import tifffile

from nephroscale.errors import Rejected
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
