import cv2
import numpy as np
import pytest

from nephroscale.slides.readers.registry import open_slide
from nephroscale.slides.slide_view import SlideView
from nephroscale.slides.tissue import estimate_white_point, find_bright_tissue, find_dark_tissue, find_pen

MPP = 8.0


def everywhere(image):
    return np.ones(image.shape[:2], bool)


def glass(height=120, width=160, colour=(243, 242, 244), seed=0):
    noise = np.random.default_rng(seed).normal(0, 1, (height, width, 3))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


def disc(height=120, width=160, radius=30):
    mask = np.zeros((height, width), np.uint8)
    cv2.circle(mask, (width // 2, height // 2), radius, 1, -1)
    return mask > 0


def overlap(found, truth):
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


@pytest.mark.parametrize("colour", [(190, 120, 180), (210, 190, 205), (120, 110, 112)], ids=["HE", "pale", "silver"])
@pytest.mark.parametrize("tint", [(243, 242, 244), (244, 236, 222)], ids=["white", "yellow"])
def test_stained_tissue_on_glass(colour, tint):
    image, truth = glass(colour=tint), disc()
    texture = np.random.default_rng(1).normal(0, 8, (*truth.shape, 1))
    image[truth] = np.clip(np.array(colour) * np.array(tint) / 243 + texture, 0, 255)[truth].astype(np.uint8)
    found = find_bright_tissue(image, everywhere(image), MPP)
    assert overlap(found.tissue, truth) > 0.93
    assert not found.pen.any()


@pytest.mark.parametrize("colour", [(0, 0, 0), (20, 20, 90)])
def test_a_dark_area_that_was_not_scanned_is_no_pen(colour):
    image, truth = glass(), disc()
    texture = np.random.default_rng(1).normal(0, 8, (*truth.shape, 1))
    image[truth] = np.clip(np.array((190, 120, 180)) + texture, 0, 255)[truth].astype(np.uint8)
    image[:, 90:] = colour
    found = find_bright_tissue(image, everywhere(image), MPP)
    assert not found.pen.any()
    assert not found.tissue[:, 90:].any()
    assert found.tissue[:, :84][truth[:, :84]].mean() > 0.9


def test_empty_glass_holds_no_tissue():
    for tint in ((243, 242, 244), (240, 230, 215), (200, 200, 200)):
        image = glass(colour=tint)
        assert not find_bright_tissue(image, everywhere(image), MPP).tissue.any()


def test_a_grey_shadow_is_no_tissue():
    image = glass()
    shadow = cv2.GaussianBlur(disc(radius=40).astype(np.float32), (0, 0), 12)
    image = (image * (1 - 0.25 * shadow[..., None])).astype(np.uint8)
    assert find_bright_tissue(image, everywhere(image), MPP).tissue.mean() < 0.02


def test_a_field_full_of_tissue_is_not_cut_in_two(shared):
    for name in ("kidney_om/local1.png", "kidney_om/local2.png", "kidney_om/vegf_ihc_C2.jpg"):
        path = shared / "data" / name
        with open_slide(path) as slide:
            overview = SlideView(slide, 10, fill=255).overview()
        assert find_bright_tissue(overview.pixels, overview.valid, 5.0, "Masson").tissue.mean() > 0.85, name


def test_tissue_of_a_kidney_field_against_its_own_mask(shared):
    path = shared / "data/kidney_om/0486052bb_positive_000096_image.png"
    truth = cv2.imread(str(path).replace("_image", "_tissue"), cv2.IMREAD_GRAYSCALE)
    with open_slide(path, "image_reader") as slide:
        overview = SlideView(slide, 8, fill=255).overview()
    found = find_bright_tissue(overview.pixels, overview.valid, 4.0, "PAS").tissue
    truth = cv2.resize(truth, found.shape[::-1], interpolation=cv2.INTER_AREA) > 127
    assert overlap(found, truth) > 0.9


@pytest.mark.parametrize(
    "colour",
    [
        *((30, 140, 90), (40, 60, 200), (25, 25, 28), (205, 20, 25), (215, 50, 70)),
        *((110, 50, 175), (140, 30, 150), (240, 130, 30), (135, 70, 35)),
    ],
    ids=["green", "blue", "black", "red", "pink", "violet", "purple", "orange", "brown"],
)
def test_pen_marks_are_found_and_are_no_tissue(colour):
    image, truth = glass(), disc()
    image[truth] = (190, 120, 180)
    stroke = np.zeros(truth.shape, np.uint8)
    cv2.line(stroke, (10, 10), (60, 110), 1, 15)
    image[stroke > 0] = colour
    found = find_bright_tissue(image, everywhere(image), MPP)
    assert found.pen[stroke > 0].mean() > 0.95
    assert not (found.tissue & (stroke > 0)).any()
    assert overlap(found.tissue, truth & (stroke == 0)) > 0.9


@pytest.mark.parametrize("ink", [(255, 190, 215), (255, 150, 200), (250, 120, 170), (255, 160, 150)])
def test_pale_pink_ink_on_glass_is_found_beside_a_real_field(shared, ink):
    field = cv2.imread(str(shared / "data/kidney_om/vegf_ihc_C1.jpg"))[..., ::-1]
    field = cv2.resize(field, None, fx=0.0833, fy=0.0833, interpolation=cv2.INTER_AREA)  # 8 µm per pixel
    image = np.concatenate([np.full_like(field, 246), field])
    stroke = np.zeros(image.shape[:2], np.uint8)
    cv2.line(stroke, (20, 15), (140, 60), 1, 20)
    cover = cv2.GaussianBlur(stroke.astype(np.float32), (0, 0), 1)[..., None]
    pixels = (image * (1 - cover + cover * np.array(ink) / 255)).astype(np.uint8)
    found = find_bright_tissue(pixels, everywhere(pixels), 8.0, "PAS")
    assert found.pen[stroke > 0].mean() > 0.95
    assert found.pen[stroke == 0].mean() < 0.03
    assert not (found.tissue & (stroke > 0)).any()
    assert not find_bright_tissue(image, everywhere(image), 8.0, "PAS").pen.any()


@pytest.mark.parametrize("name", ["0486052bb_positive_000096_image.png", "local1.png", "local2.png", "vegf_ihc_C2.jpg"])
@pytest.mark.parametrize("mpp", [2.0, 4.0, 8.0])
def test_real_pinks_are_no_ink_even_out_of_focus(shared, name, mpp):
    field = cv2.imread(str(shared / "data/kidney_om" / name))[..., ::-1]
    field = np.ascontiguousarray(cv2.resize(field, None, fx=0.5 / mpp, fy=0.5 / mpp, interpolation=cv2.INTER_AREA))
    for blur in (None, 10, 20):
        pixels = field if blur is None else cv2.GaussianBlur(field, (0, 0), blur / mpp)
        assert not find_pen(pixels, mpp, "HE").any()


@pytest.mark.parametrize("colour", [(45, 165, 140), (205, 20, 25)], ids=["green", "red"])
def test_a_mark_larger_than_the_tissue_is_found(colour):
    image, tissue = glass(), disc(radius=8)
    image[30:110, 8:60] = colour
    image[tissue] = (190, 120, 180)
    found = find_bright_tissue(image, everywhere(image), MPP)
    assert found.pen[30:110, 8:60].mean() > 0.95
    assert overlap(found.tissue, tissue) > 0.85


@pytest.mark.parametrize("ink", [(0.10, 0.62, 0.42), (0.12, 0.20, 0.72)], ids=["green", "blue"])
def test_thin_strokes_are_found(ink):
    image, tissue = glass(), disc()
    image[tissue] = (190, 120, 180)
    stroke = np.zeros(tissue.shape, np.uint8)
    cv2.polylines(stroke, [np.array([(5, 5), (30, 50), (45, 70), (60, 120)])], False, 255, 7)
    cover = 0.82 * cv2.GaussianBlur(stroke, (0, 0), 0.7)[..., None] / 255
    image = (image * (1 - cover + cover * np.array(ink))).astype(np.uint8)
    found = find_bright_tissue(image, everywhere(image), MPP)
    assert found.pen[stroke > 0].mean() > 0.9
    assert not (found.tissue & (stroke > 0) & found.pen).any()
    assert overlap(found.tissue, tissue & (stroke == 0)) > 0.85


def test_short_blue_areas_are_no_strokes():
    image, tissue = glass(), disc()
    image[tissue] = (190, 120, 180)
    cv2.circle(image, (64, 64), 4, (60, 80, 200), -1)
    assert not find_bright_tissue(image, everywhere(image), MPP).pen.any()


@pytest.mark.parametrize("hue", [2, 14, 80, 112, 138, 150], ids=["red", "brown", "green", "blue", "violet", "purple"])
def test_a_strong_stain_of_the_whole_section_is_no_pen(shared, hue):
    field = cv2.imread(str(shared / "data/kidney_om/0486052bb_positive_000096_image.png"))
    hsv = cv2.cvtColor(cv2.resize(field, (128, 128), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2HSV)
    hsv[..., 0] = hue
    hsv[..., 1] = np.minimum(hsv[..., 1] * 2.5 + 40, 255)
    assert not find_pen(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), MPP, "PAS").any()


def test_a_real_pen_mark(shared):
    with open_slide(shared / "data/kidney_om/tcga-green-pen.png", "image_reader") as slide:
        pixels = slide.read_level(0, 0, 0, slide.width, slide.height)[0]
    pen = find_pen(pixels, MPP)
    assert 0.12 < pen.mean() < 0.25
    assert pen[5:60, 430:470].mean() > 0.9  # the upper end of the stroke
    assert not pen[:, 600:].any()


def test_stains_are_not_detected_as_pen(shared):
    for name, stain in (("kidney_om/local1.png", "Masson"), ("kidney_om/0486052bb_positive_000096_image.png", "PAS")):
        with open_slide(shared / "data" / name, "image_reader") as slide:
            overview = SlideView(slide, 4, fill=255).overview()
        assert find_pen(overview.pixels, 2.0, stain).mean() < 0.01


def test_white_is_the_colour_of_the_glass():
    image = glass(colour=(240, 230, 220))
    image[disc()] = (150, 80, 140)
    assert np.abs(np.array(estimate_white_point(image, everywhere(image))) - (240, 230, 220)).max() < 4


@pytest.mark.parametrize(("dtype", "level"), [(np.uint8, 60), (np.uint16, 6000)])
def test_signal_on_a_dark_background(dtype, level):
    rng, truth = np.random.default_rng(0), disc()
    grey = level * 0.1 + rng.normal(0, level * 0.02, truth.shape)
    grey += truth * level * rng.uniform(0.4, 1, truth.shape)
    image = np.clip(grey, 0, np.iinfo(dtype).max).astype(dtype)
    found = find_dark_tissue(image, everywhere(image[..., None]), 4.0).tissue
    assert overlap(found, truth) > 0.9


def test_noise_alone_is_no_tissue():
    noise = np.random.default_rng(0).poisson(300, (200, 200)).astype(np.uint16)
    assert not find_dark_tissue(noise, np.ones(noise.shape, bool), 4.0).tissue.any()
    assert not find_dark_tissue(np.zeros((50, 50), np.uint8), np.ones((50, 50), bool), 4.0).tissue.any()


def test_pixels_outside_the_picture_are_never_tissue():
    image, valid = glass(), np.ones((120, 160), bool)
    image[:] = (190, 120, 180)
    valid[:, :80] = False
    assert not find_bright_tissue(image, valid, MPP).tissue[~valid].any()
    assert not find_bright_tissue(image, ~valid & valid, MPP).tissue.any()
    grey = image[..., 0].copy()
    assert not find_dark_tissue(grey, valid, MPP).tissue[~valid].any()


@pytest.mark.parametrize(
    "colour", [(0, 0, 0), (255, 255, 255), (90, 90, 90), (160, 160, 160), (255, 0, 255), (10, 10, 60)]
)
@pytest.mark.parametrize("noise", [0, 0.5])
def test_areas_that_were_not_scanned_are_no_tissue(shared, colour, noise):
    field = cv2.imread(str(shared / "data/kidney_om/0486052bb_positive_000096_image.png"))[..., ::-1]
    tissue = cv2.resize(field, (128, 128), interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng(0)
    image = np.clip(240 + rng.normal(0, 1, (300, 400, 3)), 0, 255).astype(np.uint8)
    image[100:228, 200:328] = tissue
    whole = find_bright_tissue(image, everywhere(image), MPP).tissue
    unscanned = np.zeros(whole.shape, bool)
    unscanned[:, :100] = unscanned[:30] = True
    image[unscanned] = np.clip(np.array(colour) + rng.normal(0, noise, (unscanned.sum(), 3)), 0, 255)
    found = find_bright_tissue(image, everywhere(image), MPP).tissue
    assert not found[unscanned].any()
    assert (found != whole)[~unscanned].mean() < 0.01


@pytest.mark.parametrize(("dtype", "level"), [(np.uint8, 90), (np.uint8, 255), (np.uint16, 20000)])
def test_areas_of_a_fluorescence_slide_that_were_not_scanned_are_no_tissue(dtype, level):
    rng = np.random.default_rng(0)
    scale = np.iinfo(dtype).max / 255
    grey = rng.normal(10, 2, (240, 320)) + 80 * disc(240, 320)
    whole = find_dark_tissue((grey * scale).astype(dtype), np.ones(grey.shape, bool), MPP).tissue
    image = (grey * scale).astype(dtype)
    image[:, :80] = level
    found = find_dark_tissue(image, np.ones(grey.shape, bool), MPP).tissue
    assert not found[:, :80].any()
    assert overlap(found, whole) > 0.95
    image = (grey * scale).astype(dtype)
    image[disc(240, 320, 100)[:, ::-1]] = np.iinfo(dtype).max  # saturated signal
    assert find_dark_tissue(image, np.ones(grey.shape, bool), MPP).tissue[disc(240, 320, 90)].all()
