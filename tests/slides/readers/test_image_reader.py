import imagecodecs
import numpy as np
import pytest
from PIL import Image

from nephroscale.errors import Rejected
from nephroscale.slides.headers import read_header
from nephroscale.slides.readers import image_reader
from nephroscale.slides.readers.registry import choose_reader, open_slide


def test_a_truncated_image_is_rejected(tmp_path, shared):
    data = (shared / "data/kidney_om/vegf_ihc_C1.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(Rejected, match="truncated"):
        choose_reader(tmp_path / "cut.jpg")


@pytest.mark.parametrize("middle", [bytes(3000), b"", b"\xff\xd9"], ids=["overwritten", "lost", "ends there"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_with_damaged_data_is_rejected(tmp_path, picture, middle, progressive):
    path = tmp_path / "a.jpg"
    Image.fromarray(picture).save(path, quality=90, progressive=progressive)
    with open_slide(path) as slide, Image.open(path) as image:
        np.testing.assert_array_equal(slide.read_level(0, 0, 0, slide.width, slide.height)[0], np.asarray(image))
    data = path.read_bytes()
    rest = b"" if middle == b"\xff\xd9" else data[len(data) // 2 + 3000 :]
    path.write_bytes(data[: len(data) // 2] + middle + rest)
    with pytest.raises(Rejected, match="damaged or truncated; copy or export it again"):
        choose_reader(path)


def test_transparent_pixels_are_not_valid(tmp_path):
    rgba = np.full((20, 30, 4), 200, np.uint8)
    rgba[:5, :, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png", "image_reader") as slide:
        pixels, valid = slide.read_level(0, 0, 0, 30, 20)
        assert pixels.shape == (20, 30, 3)
        assert (~valid).sum() == 150


def test_a_rotated_image_is_rejected(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    with pytest.raises(Rejected, match="orientation"):
        choose_reader(tmp_path / "a.jpg")


def test_sixteen_bits_of_a_png_are_kept_in_colour_too(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 65536, (20, 30, 3)).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(rgb))
    with open_slide(tmp_path / "a.png") as slide:
        assert slide.rgb
        np.testing.assert_array_equal(slide.read_level(0, 0, 0, 30, 20)[0], rgb)
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:1500])
    with pytest.raises(Rejected, match="damaged or truncated"):
        open_slide(tmp_path / "cut.png")


@pytest.mark.parametrize(
    ("mode", "read_as"),
    [
        ("1", "L"),
        ("L", "L"),
        ("LA", "LA"),
        ("P", "RGB"),
        ("P with a transparent colour", "RGBA"),
        ("RGB", "RGB"),
        ("RGBA", "RGBA"),
    ],
)
def test_pictures_are_converted_in_parts_as_they_would_be_at_once(tmp_path, monkeypatch, mode, read_as):
    rgba = np.random.default_rng(0).integers(0, 256, (50, 30, 4)).astype(np.uint8)
    image = Image.fromarray(rgba if "A" in mode else rgba[..., :3].copy()).convert(mode.split()[0])
    image.save(tmp_path / "a.png", **({"transparency": 3} if "transparent" in mode else {}))
    monkeypatch.setattr(image_reader, "ROWS", 7)
    with Image.open(tmp_path / "a.png") as saved, open_slide(tmp_path / "a.png", "image_reader") as slide:
        expected = np.asarray(saved.convert(read_as)).reshape(50, 30, -1)
        pixels, valid = slide.read_level(0, 0, 0, 30, 50)
    shown = expected[..., -1] > 127 if "A" in read_as else np.ones((50, 30), bool)
    np.testing.assert_array_equal(np.ones_like(shown) if valid is None else valid, shown)
    np.testing.assert_array_equal(pixels[shown], expected[..., : pixels.shape[2]][shown])


def test_a_grey_picture_with_transparency_stays_grey(tmp_path):
    grey = np.full((20, 30, 2), 200, np.uint8)
    grey[:5, :, 1] = 0
    Image.fromarray(grey, "LA").save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png") as slide:
        pixels, valid = slide.read_level(0, 0, 0, 30, 20)
        assert pixels.shape == (20, 30, 1)
        assert (~valid).sum() == 150


def test_the_resolution_is_a_plain_tag_where_it_may_be_that_of_a_microscope(tmp_path):
    for name, options, mpp in (
        ("a.png", {"dpi": (50800, 50800)}, 0.5),
        ("a.bmp", {"dpi": (50800, 50800)}, 0.5),
        ("a.jpg", {"dpi": (50800, 50800)}, 0.5),
        ("b.png", {"dpi": (300, 300)}, None),
    ):
        Image.new("RGB", (20, 30)).save(tmp_path / name, **options)
        with open_slide(tmp_path / name) as slide:
            assert slide.mpp == (None if mpp is None else pytest.approx(mpp, rel=1e-4))
            assert slide.mpp_is_generic == (mpp is not None)
        assert read_header(tmp_path / name)[3] == slide.mpp


@pytest.mark.parametrize("suffix", ["png", "bmp", "jpg"])
def test_pixels_that_are_not_square_are_stretched_or_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (20, 30)).save(path, dpi=(50800, 49500))
    with open_slide(path) as slide:
        assert slide.mpp == pytest.approx(0.5, rel=1e-4)
        assert slide.stretch == pytest.approx((1, 50800 / 49500), rel=1e-4)
    Image.new("RGB", (20, 30)).save(path, dpi=(50800, 25400))
    with open_slide(path) as slide:
        assert slide.mpp is None
        assert "not square" in slide.scale_fault
    assert "not square" in read_header(path).scale_fault


def test_animations_and_too_many_pixels_are_refused(tmp_path, monkeypatch):
    picture = Image.new("RGB", (20, 30), "white")
    picture.save(tmp_path / "a.png", save_all=True, append_images=[Image.new("RGB", (20, 30))])
    with pytest.raises(Rejected, match="animated"):
        open_slide(tmp_path / "a.png")
    picture.save(tmp_path / "b.png")
    monkeypatch.setattr(image_reader, "MAX_PIXELS", 599)
    for read in (open_slide, read_header):
        with pytest.raises(Rejected, match="20 x 30 pixels, which is too large"):
            read(tmp_path / "b.png")


def test_inks_are_refused(tmp_path):
    Image.new("CMYK", (64, 64), (10, 80, 20, 5)).save(tmp_path / "a.jpg")
    with pytest.raises(Rejected, match="its colours are inks"):
        choose_reader(tmp_path / "a.jpg")
