import numpy as np
import pytest
import tifffile

from nephroscale.slides.facts import describe_image
from nephroscale.slides.modality import Brightfield, Fluorescence
from nephroscale.slides.readers.registry import open_slide
from nephroscale.slides.scales import choose_scales
from nephroscale.slides.slide_view import WHITE
from nephroscale.slides.stain import StainReference
from nephroscale.slides.tile_grid import make_grid


@pytest.fixture
def opened(slide):
    with open_slide(slide) as reader:
        yield reader


def fitted(modality, reader, scales, settings):
    view = modality.view(reader, scales.tile)
    grid = make_grid(view, modality.mask, modality.overview.unreadable, scales.ratio, settings)
    modality.fit(view, grid, scales)
    return modality, view


@pytest.mark.slow
def test_brightfield_is_normalised_to_the_reference_of_its_stain(opened, om_settings, make_row):
    scales, row = choose_scales(opened, 0.25, om_settings), make_row("OM", stain="HE")
    plain, view = fitted(Brightfield(opened, scales, row, om_settings, None), opened, scales, om_settings)
    assert plain.normalisation.fallback == "there is no reference for this stain"
    pixels, valid = view.read(300, 300, 64, 64)
    np.testing.assert_array_equal(plain.transform(pixels, valid, 0, 0), np.moveaxis(pixels, -1, 0))
    sample = np.random.default_rng(0).integers(60, 200, (4000, 3)).astype(np.uint8)
    from nephroscale.slides.stain import fit_macenko, fit_reinhard

    reference = {"HE": StainReference(fit_macenko(sample), fit_reinhard(sample))}
    changed, _ = fitted(Brightfield(opened, scales, row, om_settings, reference), opened, scales, om_settings)
    assert changed.attributes == {"stain": "HE", "normalisation": changed.normalisation.method}
    valid[:8] = False
    stored = changed.transform(pixels, valid, 0, 0)
    assert stored.shape == (3, 64, 64)
    assert (stored[:, :8] == WHITE).all()


def test_a_whole_field_is_all_tissue(opened, om_settings, make_row):
    scales = choose_scales(opened, 0.25, om_settings)
    whole = Brightfield(opened, scales, make_row("OM", stain="HE", roi="whole"), om_settings, None)
    assert whole.mask.tissue.all()
    assert not Brightfield(opened, scales, make_row("OM", stain="HE"), om_settings, None).mask.tissue.all()


def test_fluorescence_selects_its_channel_and_subtracts_the_background(tmp_path, im_settings, make_row):
    from nephroscale.cohort.image import TableScale

    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:512, :512]
    disc = np.hypot(rows - 256, columns - 256) < 60
    image = (200 + rng.normal(0, 3, (512, 512)) + 6000 * disc).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", image)
    row = make_row("IM", marker="IgG", scale=TableScale(0.5, "um"))
    facts = describe_image(tmp_path / "a.tif", row)
    with open_slide(tmp_path / "a.tif") as reader:
        scales = choose_scales(reader, facts.mpp, im_settings)
        modality, view = fitted(Fluorescence(reader, scales, row, im_settings, facts), reader, scales, im_settings)
        pixels, valid = view.read(0, 0, 512, 512)
        stored = modality.transform(pixels, valid, 0, 0)
    assert modality.attributes == {"stain": "IgG", "calibration": "pattern-only"}
    assert modality.quality["saturated_share"] == 0
    assert stored.dtype == np.uint16
    assert stored.shape == (1, 512, 512)
    assert np.median(stored[0][disc]) > 50_000
    assert np.median(stored[0][~disc]) < 1_000
    grey = modality.to_grey(pixels)
    assert grey.min() >= 0
    assert grey.max() <= 255


def test_the_share_of_saturated_pixels(tmp_path, im_settings, make_row):
    from nephroscale.slides.tiles import tile_slide
    from support.fluorescence import draw_glomerulus

    light = np.minimum(draw_glomerulus().astype(np.uint16) * 60, 4095)
    tifffile.imwrite(tmp_path / "a.tif", light)
    row = make_row("IM", marker="IgG", roi="whole")
    figures = tile_slide(
        tmp_path / "a.tif", describe_image(tmp_path / "a.tif", row), row, im_settings, None, tmp_path / "t"
    )
    assert figures["saturated_share"] == pytest.approx((light >= 0.98 * 4095).mean(), abs=0.002)
    assert figures["saturated_share"] > 0.01


@pytest.mark.parametrize(("exposure", "told"), [(80.0, False), (0.08, True)])
def test_an_exposure_in_seconds_is_told(tmp_path, im_settings, make_row, exposure, told):
    from nephroscale.slides.tiles import tile_slide
    from support.fluorescence import draw_glomerulus

    tifffile.imwrite(tmp_path / "a.tif", draw_glomerulus().astype(np.uint16) * 12)
    row = make_row("IM", marker="IgG", roi="whole", exposure_ms=exposure, gain=1.0)
    figures = tile_slide(
        tmp_path / "a.tif", describe_image(tmp_path / "a.tif", row), row, im_settings, None, tmp_path / "t"
    )
    assert figures["calibration"] == "calibrated"
    assert (figures["saturated_share"] > 0.01) == told
