import importlib.util
import json
import struct
import zlib
from pathlib import Path

import cv2
import imagecodecs
import mrcfile
import numpy as np
import pytest
import tifffile
from PIL import Image

from nephroscale.errors import Rejected
from nephroscale.slides import tem_formats
from nephroscale.slides.samples import MOST_PIXELS, read_picture_header, read_samples


@pytest.fixture
def grey() -> np.ndarray:
    noise = np.random.default_rng(1).normal(size=(96, 128)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 5)
    return np.clip(125 + 45 * smooth / smooth.std(), 15, 240).astype(np.uint8)


def like(path: Path, grey: np.ndarray) -> float:
    """Correlation of what is read with the picture."""
    pixels = read_samples(path).astype(np.float64)
    pixels = pixels if pixels.ndim == 2 else pixels.mean(axis=2)
    assert read_picture_header(path)[:2] == pixels.shape[::-1]
    return float(np.corrcoef(pixels.ravel(), cv2.resize(grey, pixels.shape[::-1]).ravel())[0, 1])


def tif(path: Path, pixels: np.ndarray, photometric: str = "minisblack", **more: object) -> Path:
    tifffile.imwrite(path / "a.tif", pixels, photometric=photometric, metadata=None, **more)
    return path / "a.tif"


KINDS = {
    "8 bits": lambda g: (g, "minisblack"),
    "16 bits": lambda g: (g.astype(np.uint16) * 200, "minisblack"),
    "signed": lambda g: (g.astype(np.int16) * 10 - 1300, "minisblack"),
    "32 bits": lambda g: (g.astype(np.uint32) * 1000, "minisblack"),
    "float": lambda g: (g.astype(np.float32) * 3.7, "minisblack"),
    "half": lambda g: (g.astype(np.float16), "minisblack"),
    "white is 0": lambda g: (255 - g, "miniswhite"),
    "white is 0, 16 bits": lambda g: (65535 - g.astype(np.uint16) * 200, "miniswhite"),
    "white is lowest, signed": lambda g: (3000 - g.astype(np.int16) * 10, "miniswhite"),
    "RGB": lambda g: (np.dstack([g] * 3), "rgb"),
    "RGB of 16 bits": lambda g: (np.dstack([g.astype(np.uint16) * 200] * 3), "rgb"),
    "CMYK": lambda g: (np.dstack([np.zeros_like(g)] * 3 + [255 - g]), "separated"),
    "CMYK of three inks": lambda g: (np.dstack([255 - g] * 3 + [np.zeros_like(g)]), "separated"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_tiff_shows_the_picture_with_white_on_top(tmp_path: Path, grey: np.ndarray, kind: str) -> None:
    pixels, photometric = KINDS[kind](grey)
    assert like(tif(tmp_path, pixels, photometric), grey) > 0.999


@pytest.mark.parametrize(
    "name", ["a.png", "a.bmp", "a.jp2", "a.jpg", "palette.png", "palette.tif", "cmyk.jpg", "la.png"]
)
def test_every_kind_of_raster_shows_it_too(tmp_path: Path, grey: np.ndarray, name: str) -> None:
    image = Image.fromarray(grey)
    image = {"palette": image.quantize(200), "cmyk": Image.merge("RGB", [image] * 3).convert("CMYK")}.get(
        name.split(".", maxsplit=1)[0], image.convert("LA") if name == "la.png" else image
    )
    image.save(tmp_path / name, **({"quality": 95} if name.endswith("jpg") else {}))
    assert like(tmp_path / name, grey) > 0.995


def deep(grey: np.ndarray) -> np.ndarray:
    return grey.astype(np.uint16) * 200


LAYOUTS = {
    "tiles": lambda g: (g, {"tile": (32, 32)}),
    "bytes in the order of Motorola": lambda g: (deep(g), {"byteorder": ">"}),
    "BigTIFF": lambda g: (deep(g), {"bigtiff": True, "byteorder": ">"}),
    "planes of RGB in tiles": lambda g: (
        np.stack([g] * 3),
        {"photometric": "rgb", "planarconfig": "separate", "tile": (32, 32), "compression": "deflate"},
    ),
    "RGB with opacity": lambda g: (
        np.dstack([g] * 3 + [np.full_like(g, 255)]),
        {"photometric": "rgb", "extrasamples": ["unassalpha"]},
    ),
    "12 bits in 16": lambda g: (g.astype(np.uint16) * 16, {}),
    "LZW of differences": lambda g: (deep(g), {"compression": "lzw", "predictor": 2}),
    "Zstandard": lambda g: (deep(g), {"compression": "zstd"}),
    "JPEG": lambda g: (g, {"compression": "jpeg"}),
    "JPEG of RGB": lambda g: (np.dstack([g] * 3), {"photometric": "rgb", "compression": "jpeg"}),
    "differences of floating point": lambda g: (g / np.float32(7), {"compression": "deflate", "predictor": 3}),
    "signed bytes": lambda g: ((g.astype(int) - 128).astype(np.int8), {}),
    "64 bits": lambda g: (g.astype(np.uint64) * 10**6, {}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_of_a_tiff_does_not_matter(tmp_path: Path, grey: np.ndarray, layout: str) -> None:
    pixels, more = LAYOUTS[layout](grey)
    path = tif(tmp_path, pixels, **{"photometric": "minisblack", **more})
    assert like(path, grey) > 0.99
    (tmp_path / "cut.tif").write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(Rejected):
        read_samples(tmp_path / "cut.tif")


@pytest.mark.parametrize("name", ["deep.png", "deep.jp2", "palette.bmp", "progressive.jpg", "grey.j2k"])
def test_other_rasters_under_any_name(tmp_path: Path, grey: np.ndarray, name: str) -> None:
    image = Image.fromarray(deep(grey) if "deep" in name else grey)
    image = image.quantize(200) if "palette" in name else image
    image.save(tmp_path / name, **({"progressive": True, "quality": 95} if name.endswith("jpg") else {}))
    whole = (tmp_path / name).read_bytes()
    (tmp_path / "other.tif").write_bytes(whole)
    assert like(tmp_path / "other.tif", grey) > 0.99
    assert (read_samples(tmp_path / "other.tif").dtype == np.uint16) == ("deep" in name)
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Rejected):
        read_samples(tmp_path / "cut.tif")


def test_what_is_no_picture_is_refused_with_what_it_is(tmp_path: Path, grey: np.ndarray) -> None:
    frames = {"save_all": True, "append_images": [Image.fromarray(grey[::-1].copy())]}
    Image.fromarray(grey).save(tmp_path / "film.gif", **frames)
    Image.fromarray(grey).save(tmp_path / "film.png", **frames)
    Image.fromarray(grey).save(tmp_path / "page.pdf")
    (tmp_path / "named.tif").write_bytes((tmp_path / "film.gif").read_bytes())
    tifffile.imwrite(tmp_path / "waves.tif", grey.astype(np.complex64), photometric="minisblack")
    volume = {"volumetric": True, "tile": (16, 32, 32), "photometric": "minisblack", "metadata": None}
    tifffile.imwrite(tmp_path / "volume.tif", np.stack([grey] * 16), **volume)
    (tmp_path / "report.docx").write_bytes(b"PK\3\4" + bytes(400))
    for name, reason in {
        "film.gif": "it is a GIF",
        "named.tif": "it is a GIF",
        "film.png": "it is an animated PNG",
        "page.pdf": "it is a PDF",
        "waves.tif": "numbers of type complex64",
        "volume.tif": "it holds a volume",
        "report.docx": "ZIP archive or an Office file",
    }.items():
        with pytest.raises(Rejected, match=reason):
            read_samples(tmp_path / name)


def test_ycbcr_in_strips_becomes_rgb(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    pixels = np.asarray(Image.fromarray(colours).convert("YCbCr"))
    read = read_samples(tif(tmp_path, pixels, "ycbcr", extratags=[(530, "H", 2, (1, 1), True)]))
    assert np.abs(read.astype(int) - colours).max() <= 3


def pages(path: Path, *contents: tuple[np.ndarray, dict[str, object]]) -> Path:
    with tifffile.TiffWriter(path / "p.tif") as out:
        for pixels, more in contents:
            out.write(pixels, metadata=None, **{"photometric": "minisblack", **more})
    return path / "p.tif"


def test_the_largest_page_is_read_and_of_equal_ones_that_with_most_bits(tmp_path: Path, grey: np.ndarray) -> None:
    deep = grey.astype(np.uint16) * 40 + 3000
    thumbnail = cv2.resize(255 - grey, (32, 24))
    shown = (np.stack([255 - grey] * 3), {"photometric": "rgb", "planarconfig": "separate"})
    for content in (
        [(thumbnail, {"subfiletype": 1}), (deep, {})],
        [(thumbnail, {}), (deep, {})],
        [(deep, {}), (thumbnail, {})],
        [shown, (deep, {})],
    ):
        path = pages(tmp_path, *content)
        assert like(path, grey) > 0.999
        assert read_samples(path).dtype == np.uint16


def test_a_picture_that_its_tag_rotates_is_refused(tmp_path: Path, grey: np.ndarray) -> None:
    exif = Image.Exif()
    for orientation, refused in ((8, True), (1, False), (0, False)):
        exif[0x0112] = orientation
        Image.fromarray(grey).save(tmp_path / "a.jpg", exif=exif, quality=95)
        for path in (tif(tmp_path, grey, extratags=[(274, 3, 1, orientation, True)]), tmp_path / "a.jpg"):
            if refused:
                with pytest.raises(Rejected, match="orientation tag"):
                    read_samples(path)
            else:
                assert like(path, grey) > 0.995


def test_a_stack_asks_for_a_choice(tmp_path: Path, grey: np.ndarray) -> None:
    path = pages(tmp_path, (grey, {}), (grey[::-1].copy(), {}), (grey[:, ::-1].copy(), {}))
    for read in (read_samples, read_picture_header):
        with pytest.raises(Rejected, match=r"3 pages of one size and type; name one in the column path, as a.tif#2"):
            read(path)
        with pytest.raises(Rejected, match="no page #4, but 3"):
            read(path, 4)
    assert np.array_equal(read_samples(path, 2), grey[::-1])
    Image.fromarray(grey).save(tmp_path / "one.png")
    assert np.array_equal(read_samples(tmp_path / "one.png", 1), grey)
    with pytest.raises(Rejected, match="no page #2"):
        read_samples(tmp_path / "one.png", 2)


@pytest.mark.parametrize("kind", ["png", "jpg", "tif"])
def test_a_montage_that_memory_cannot_hold_is_refused_before_it_is_decoded(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    side = 30_000
    if kind == "tif":
        tifffile.imwrite(path, shape=(side, side), dtype=np.uint8, photometric="minisblack")  # a sparse file
    elif kind == "png":
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)
        content = bytearray(path.read_bytes())
        content[16:24] = struct.pack(">2I", side, side)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
        path.write_bytes(content)
    else:
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)
        content = bytearray(path.read_bytes())
        frame = content.index(b"\xff\xc0")
        content[frame + 5 : frame + 9] = struct.pack(">2H", side, side)
        path.write_bytes(content)
    assert side**2 > MOST_PIXELS
    for read in (read_samples, read_picture_header):
        with pytest.raises(Rejected, match=r"30000 x 30000 pixels, which is too large.*save it at a lower resolution"):
            read(path)


@pytest.mark.slow
def test_a_picture_beyond_the_limit_of_pillow_is_read(tmp_path: Path) -> None:
    Image.new("1", (13_400, 13_400)).save(tmp_path / "a.png")
    assert read_samples(tmp_path / "a.png").shape == (13_400, 13_400)


def test_mrc_is_read_with_its_scale_and_a_stack_asks_for_a_choice(tmp_path: Path, grey: np.ndarray) -> None:
    with mrcfile.new(tmp_path / "a.mrc", grey.astype(np.int16)) as file:
        file.voxel_size = 32.5
    assert like(tmp_path / "a.mrc", grey) > 0.999
    scale = read_picture_header(tmp_path / "a.mrc").scale
    assert scale is not None
    assert scale.nm_per_px == pytest.approx(3.25)
    with mrcfile.new(tmp_path / "b.mrc", np.stack([grey, grey[::-1]]).astype(np.float32)):
        pass
    with pytest.raises(Rejected, match=r"2 pages of one size"):
        read_samples(tmp_path / "b.mrc")
    assert np.array_equal(read_samples(tmp_path / "b.mrc", 2), grey[::-1])
    whole = (tmp_path / "a.mrc").read_bytes()
    (tmp_path / "cut.mrc").write_bytes(whole[:-500])
    with pytest.raises(Rejected):
        read_samples(tmp_path / "cut.mrc")


def test_emd_is_read_with_the_extra(tmp_path: Path, grey: np.ndarray) -> None:
    emd = pytest.importorskip("ncempy.io.emd")
    emd.emdWriter(tmp_path / "a.emd", grey.astype(np.uint16), pixel_size=(2.5, 2.5), pixel_unit=("n_m", "n_m"))
    assert like(tmp_path / "a.emd", grey) > 0.999
    scale = read_picture_header(tmp_path / "a.emd").scale
    assert scale is not None
    assert scale.nm_per_px == pytest.approx(2.5)


def test_velox_has_the_frames_of_a_series_last(tmp_path: Path, grey: np.ndarray) -> None:
    pytest.importorskip("ncempy")
    import h5py

    about = {
        "BinaryResult": {"PixelUnitX": "m", "PixelUnitY": "m", "Detector": "Ceta"},
        "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "1"}},
        "Stage": {},
    }
    about["BinaryResult"]["PixelSize"] = {"width": "2.5e-9", "height": "2.5e-9"}
    with h5py.File(tmp_path / "a.emd", "w") as file:
        group = file.create_group("Data/Image/one")
        group["Data"] = np.stack([grey, grey[::-1], grey], axis=-1)
        group["Metadata"] = np.frombuffer(json.dumps(about).encode(), np.uint8)[:, None]
    with pytest.raises(Rejected, match=r"3 pages of one size; name one in the column path, as a.emd#2"):
        read_samples(tmp_path / "a.emd")
    assert np.array_equal(read_samples(tmp_path / "a.emd", 2), grey[::-1])
    scale = read_picture_header(tmp_path / "a.emd", 2).scale
    assert scale is not None
    assert scale.nm_per_px == pytest.approx(2.5)


A, B = np.arange(600.0).reshape(20, 30), np.zeros((20, 30), np.uint16)


@pytest.mark.parametrize(
    ("sets", "outcome"),
    [
        ([(A, (2.0, 2.0), ["nm", "nm"])], 2.0),
        ([(A, (2e-9, 2e-9), ["m", "m"])], 2.0),
        ([(A, (2.0, 3.0), ["nm", "nm"])], None),
        ([(A, (2.0, 2.0), ["nm", "um"])], None),
        ([(A, (2.0, 0.002), ["nm", "um"])], 2.0),
        ([(A, (2.0, 2.06), ["nm", "nm"])], 2.03),
        ([(A, (2000.0, 2000.0), ["pm", "pm"])], 2.0),
        ([(A, (), [])], None),
        ([(A[:4, :4], (9.0, 9.0), ["nm", "nm"]), (A, (2.0, 2.0), ["nm", "nm"])], 2.0),
        ([(A, (1.0, 1.0), ["1/nm", "1/nm"]), (B, (2.0, 2.0), ["nm", "nm"])], 2.0),
        ([(A, (2.0, 2.0), ["nm", "nm"]), (B, (2.0, 2.0), ["nm", "nm"])], "2 pages of one size.*as a.dm3#2"),
        ([(A, (4e7, 4e7), ["m", "m"])], "diffraction patterns that are no picture"),
        ([(np.stack([A, A]), (1.0, 2.0, 2.0), ["eV", "nm", "nm"])], "spectra that are no picture"),
        ([(A.astype(complex), (2.0, 2.0), ["nm", "nm"])], "data that are no picture"),
        ([(A[0], (2.0,), ["nm"])], "data that are no picture"),
        ([None], "DM3 file of Gatan.*no picture can be read.*export it as TIFF"),
    ],
)
def test_of_several_data_sets_the_largest_picture_is_read(
    tmp_path: Path, sets: list[tuple[object, ...]], outcome: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)
    monkeypatch.setattr(tem_formats, "_data_sets", lambda _path, _kind: sets)
    (tmp_path / "a.dm3").write_bytes(struct.pack(">3I", 3, 100000, 1) + bytes(400))
    if isinstance(outcome, str):
        with pytest.raises(Rejected, match=outcome):
            read_samples(tmp_path / "a.dm3")
    else:
        scale = read_picture_header(tmp_path / "a.dm3").scale
        assert (scale and scale.nm_per_px) == (outcome and pytest.approx(outcome))
        assert read_samples(tmp_path / "a.dm3").shape == A.shape


def test_an_old_mrc_file_without_its_stamp_is_known_by_its_length(tmp_path: Path, grey: np.ndarray) -> None:
    for kind in (np.int8, np.int16, np.uint16, np.float32, np.float16):
        picture = (grey // 2).astype(kind)
        with mrcfile.new(tmp_path / "a.mrc", picture, overwrite=True):
            pass
        content = bytearray((tmp_path / "a.mrc").read_bytes())
        assert np.array_equal(read_samples(tmp_path / "a.mrc"), picture)
        content[208:216] = bytes(8)
        (tmp_path / "old.mrc").write_bytes(content)
        assert np.array_equal(read_samples(tmp_path / "old.mrc"), picture)
        (tmp_path / "old.mrc").write_bytes(content[:-1])
        with pytest.raises(Rejected):
            read_samples(tmp_path / "old.mrc")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (struct.pack(">3I", 3, 100000, 1) + bytes(400), "DM3"),
        (struct.pack(">I", 4) + bytes(400), "DM4"),
        (b"\x89HDF\r\n\x1a\n" + bytes(400), "EMD"),
        (b"GIF89a" + bytes(400), "GIF"),
    ],
)
def test_what_is_not_read_is_refused_by_name(
    tmp_path: Path, content: bytes, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)  # without the extra
    (tmp_path / "a.dat").write_bytes(content)
    for read in (read_samples, read_picture_header):
        with pytest.raises(Rejected, match=f"{name}.*export it as TIFF"):
            read(tmp_path / "a.dat")


def test_other_files_and_cut_ones_are_refused(tmp_path: Path, grey: np.ndarray) -> None:
    Image.fromarray(np.tile(grey, (4, 4))).save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    for data in (b"", b"version https://git-lfs.github.com", b"II*\0" + b"\xff" * 40, whole[:-400]):
        (tmp_path / "bad.tif").write_bytes(data)
        with pytest.raises(Rejected):
            read_samples(tmp_path / "bad.tif")
    tifffile.imwrite(tmp_path / "nan.tif", np.full((40, 40), np.nan, np.float32), photometric="minisblack")
    with pytest.raises(Rejected, match=r"not finite \(1600 of 1600 are NaN or infinite\); cut them off or fill them"):
        read_samples(tmp_path / "nan.tif")


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_picture_that_is_transparent_in_part_is_refused(tmp_path: Path, grey: np.ndarray, suffix: str) -> None:
    opacity = np.full_like(grey, 255)
    path = tmp_path / f"a{suffix}"
    for part, refused in ((0, False), (40, True)):
        opacity[:part] = 0
        Image.fromarray(np.dstack([grey, grey, grey, opacity])).save(path)
        if refused:
            with pytest.raises(Rejected, match="a part of it is transparent"):
                read_samples(path)
        else:
            assert read_samples(path).shape == (*grey.shape, 3)


@pytest.mark.parametrize("kind", ["RGB", "RGB and opacity", "grey and opacity"])
def test_a_png_of_sixteen_bits_keeps_them(tmp_path: Path, grey: np.ndarray, kind: str) -> None:
    levels = grey.astype(np.uint16) * 16 + np.arange(grey.shape[1], dtype=np.uint16) % 16  # a camera of 12 bits
    full = np.full_like(levels, 65535)
    layers = {"RGB": [levels] * 3, "RGB and opacity": [levels] * 3 + [full], "grey and opacity": [levels, full]}[kind]
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.dstack(layers)))
    read = read_samples(tmp_path / "a.png")
    assert np.array_equal(read[..., 0] if read.ndim == 3 else read, levels)
    layers[-1] = np.where(np.arange(128) < 20, 0, full).astype(np.uint16)
    if "opacity" in kind:
        (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.dstack(layers)))
        with pytest.raises(Rejected, match="transparent"):
            read_samples(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "I;16"])
def test_a_png_that_names_a_colour_as_transparent_is_refused_where_pixels_have_it(tmp_path, grey, mode: str) -> None:
    grey = np.where(grey == 9, 10, grey)
    hidden = grey.copy()
    hidden[:20] = 9
    for pixels in (grey, hidden):
        image = Image.fromarray(pixels.astype(np.uint16) if mode == "I;16" else pixels)
        image = image if mode == "I;16" else image.convert(mode)
        image.save(tmp_path / "a.png", transparency=(9, 9, 9) if mode == "RGB" else 9)
        if pixels is grey:
            assert np.array_equal(read_samples(tmp_path / "a.png").reshape(96, 128, -1)[..., 0], grey)
        else:
            with pytest.raises(Rejected, match="transparent"):
                read_samples(tmp_path / "a.png")


def packed(path: Path, values: np.ndarray, bits: int, photometric: int) -> Path:
    """A TIFF of fewer than 8 bits, which tifffile does not write."""
    height, width = values.shape
    spread = np.unpackbits(values[..., None], axis=-1)[..., 8 - bits :].reshape(height, -1)
    content = np.packbits(spread, axis=1).tobytes()
    entries = [
        (256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, photometric),
        (273, 4, 8 + 2 + 108 + 4), (277, 3, 1), (278, 4, height), (279, 4, len(content)),
    ]  # fmt: skip
    table = b"".join(
        struct.pack("<HHI", code, kind, 1) + struct.pack("<HH" if kind == 3 else "<I", value, *[0][: kind == 3])
        for code, kind, value in entries
    )
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4) + content)
    return path


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [2, 4, 6])
def test_a_tiff_of_fewer_than_eight_bits_is_refused(tmp_path, grey, bits: int, photometric: int) -> None:
    with pytest.raises(Rejected, match=f"its samples have {bits} bits.*save it in 8 or 16 bits"):
        read_samples(packed(tmp_path / "a.tif", grey >> (8 - bits), bits, photometric))


def test_a_table_of_colours_in_eight_bits_has_the_levels_of_one_in_sixteen(tmp_path: Path, grey: np.ndarray) -> None:
    table = np.repeat(np.arange(256, dtype=np.uint16)[None], 3, axis=0)
    read = [read_samples(tif(tmp_path, grey, "palette", colormap=table * np.uint16(factor))) for factor in (1, 257)]
    assert np.array_equal(read[0], read[1])
    assert np.array_equal(read[0][..., 0], grey.astype(np.uint16) * 257)


@pytest.mark.parametrize(
    ("sides", "nm", "fault"),
    [
        ((1, 1, 1), None, ""),  # what programs write that know none
        ((10, 10, 1), 1.0, ""),
        ((32.5, 32.5, 700), 3.25, ""),
        ((40, 80, 40), None, "its pixels are not square (4 x 8 nm); resample it"),
        ((40, 41.5, 40), 4.075, ""),  # the mean, as of OME-XML and ImageJ
        ((40, 40.2, 1), 4.01, ""),
        ((0, 0, 0), None, ""),
    ],
)
def test_the_sides_of_a_voxel_give_the_scale_of_an_mrc_file(tmp_path, grey, sides, nm, fault: str) -> None:
    with mrcfile.new(tmp_path / "a.mrc", grey.astype(np.int16)) as file:
        file.voxel_size = sides
    header = read_picture_header(tmp_path / "a.mrc")
    assert (header.scale and header.scale.nm_per_px) == (nm and pytest.approx(nm))
    assert header.scale_fault == fault


@pytest.mark.parametrize(
    ("bytes_of", "about"),
    [
        ("uint8", {"imod": 0}),
        ("uint8", {"range": (0, 250)}),
        ("int8", {"imod": 1}),
        ("int8", {"range": (-120, 120)}),
        ("int8", {}),
    ],
)
def test_bytes_of_an_mrc_file_have_a_sign_or_none_by_its_header(tmp_path, grey, bytes_of: str, about) -> None:
    stored = grey if bytes_of == "uint8" else (grey.astype(int) - 128).astype(np.int8)
    with mrcfile.new(tmp_path / "a.mrc", stored.view(np.int8)):
        pass
    content = bytearray((tmp_path / "a.mrc").read_bytes())
    content[76:84] = struct.pack("<2f", *about.get("range", (0, 0)))
    if "imod" in about:
        content[152:160] = struct.pack("<2i", 1146047817, about["imod"])
    (tmp_path / "a.mrc").write_bytes(content)
    assert like(tmp_path / "a.mrc", grey) > 0.999


@pytest.mark.parametrize(("mode", "bits"), [(3, 32), (16, 24), (101, 4)])
def test_modes_of_mrc_that_are_not_read_are_named(tmp_path: Path, grey: np.ndarray, mode: int, bits: int) -> None:
    with mrcfile.new(tmp_path / "a.mrc", grey.view(np.int8)):
        pass
    content = bytearray((tmp_path / "a.mrc").read_bytes()[:1024]) + bytes(grey.size * bits // 8)
    content[12:16] = struct.pack("<i", mode)
    (tmp_path / "a.mrc").write_bytes(content)
    with pytest.raises(Rejected, match=f"numbers are of mode {mode} of MRC.*save it in mode 1 or 2, or as TIFF"):
        read_samples(tmp_path / "a.mrc")


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_pictures_of_several_detectors_are_not_read_as_one(tmp_path, grey, count: int, planar: str) -> None:
    def write(others: list[np.ndarray]) -> Path:
        pixels = np.stack([grey, *others], axis=0 if planar == "separate" else -1)
        return tif(tmp_path, pixels, planarconfig=planar, extrasamples=["unspecified"] * (count - 1))

    with pytest.raises(Rejected, match=f"{count} samples that are no colours.*save one of them"):
        read_samples(write([grey[::-1]] * (count - 1)))
    assert np.array_equal(read_samples(write([np.full_like(grey, 255)] * (count - 1))), grey)  # opacity without a name


def test_a_stack_of_imagej_that_lists_its_first_picture_alone_is_refused(tmp_path: Path, grey: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([grey, grey[::-1], grey]), imagej=True, metadata={"axes": "ZYX"})
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        offset, order = tiff.pages.first.offset, tiff.byteorder
    content = bytearray((tmp_path / "a.tif").read_bytes())
    end = offset + 2 + 12 * struct.unpack(f"{order}H", content[offset : offset + 2])[0]
    content[end : end + 4] = bytes(4)
    (tmp_path / "a.tif").write_bytes(content)
    for read in (read_samples, read_picture_header):
        for page in (None, 2):
            with pytest.raises(Rejected, match=r"a stack of 3 pictures of ImageJ.*save each as a file"):
                read(tmp_path / "a.tif", page)


@pytest.mark.parametrize("code", [273, 279])  # where its strips begin, and their bytes
def test_a_tiff_without_the_data_of_a_strip_is_refused(tmp_path: Path, grey: np.ndarray, code: int) -> None:
    path = tif(tmp_path, grey, rowsperstrip=32)
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages.first.tags[code]
        place, size = tag.valueoffset, {3: 2, 4: 4}[tag.dtype]
    content = bytearray(path.read_bytes())
    content[place + size : place + 2 * size] = bytes(size)
    path.write_bytes(content)
    with pytest.raises(Rejected, match="1 of its 3 strips have no data"):
        read_samples(path)


@pytest.mark.parametrize("colour", [False, True])
def test_damaged_jpeg_in_a_tiff_is_refused(tmp_path: Path, grey: np.ndarray, colour: bool) -> None:
    tall = np.tile(grey, (2, 1))
    pixels, photometric = (np.dstack([tall] * 3), "rgb") if colour else (tall, "minisblack")
    path = tif(tmp_path, pixels, photometric, compression="jpeg", rowsperstrip=64)
    assert like(path, tall) > 0.99
    with tifffile.TiffFile(path) as tiff:
        start, count = tiff.pages.first.dataoffsets[1], tiff.pages.first.databytecounts[1]
    content = bytearray(path.read_bytes())
    content[start + count // 2 : start + count // 2 + 200] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(Rejected, match="its data end early or are damaged"):
        read_samples(path)


def test_a_file_without_a_known_format_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.tga").write_bytes(bytes(5000))
    with pytest.raises(Rejected, match="of an unknown format; copy it again, or export it as TIFF with all its bits"):
        read_picture_header(tmp_path / "a.tga")
