from types import SimpleNamespace

import pytest

from nephroscale.errors import Rejected
from nephroscale.slides.scales import choose_scales


def reader(width=8192, height=4096, downsamples=(1.0, 4.0)):
    return SimpleNamespace(width=width, height=height, downsamples=downsamples)


def test_scales_of_a_slide(om_settings):
    scales = choose_scales(reader(), 0.25, om_settings)
    assert (scales.tile, scales.overview, scales.mpp) == (2.0, 32.0, 0.5)
    assert (scales.ratio, scales.overview_mpp) == (16.0, 8.0)


def test_a_level_within_five_percent_is_used_as_it_is(om_settings):
    scales = choose_scales(reader(downsamples=(1.0, 2.05)), 0.25, om_settings)
    assert scales.tile == 2.05
    assert scales.mpp == pytest.approx(0.5125)


def test_a_small_field_keeps_64_pixels_of_overview(om_settings):
    assert choose_scales(reader(512, 256), 0.25, om_settings).overview == 8.0


def test_a_field_of_unknown_scale_keeps_its_pixels(om_settings):
    scales = choose_scales(reader(1024, 512), None, om_settings)
    assert (scales.tile, scales.overview, scales.mpp, scales.overview_mpp) == (1.0, 2.0, None, None)


def test_a_coarse_slide_is_rejected_unless_one_glomerulus_fills_it(om_settings):
    with pytest.raises(Rejected, match="too coarse"):
        choose_scales(reader(), 0.6, om_settings)
    assert choose_scales(reader(), 0.6, om_settings, whole_field=True).mpp == 0.6
    assert choose_scales(reader(), 0.52, om_settings).mpp == 0.52
