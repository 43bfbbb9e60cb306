"""Exposures in the metadata of OME-TIFF, Micro-Manager, CZI, LIF and ND2."""

from xml.etree import ElementTree as ET

import numpy as np
import pytest
import tifffile

from nephroscale.slides.readers.registry import choose_reader, open_slide
from nephroscale.slides.readers.stated_exposure import lif_exposures, milliseconds, nd2_exposures
from support.microscopes import LifImage, Tile, write_czi, write_lif
from support.nd2_files import write_nd2

GREY = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)


def exposures(path, page=None):
    with open_slide(path, choose_reader(path, page), page) as slide:
        return slide.exposures_ms


@pytest.mark.parametrize(
    ("value", "unit", "ms"),
    [
        ("0.08", "s", 80.0),
        ("80", "ms", 80.0),
        ("80000", "µs", 80.0),
        ("80000", "\u03bcs", 80.0),
        ("80000000", "ns", 80.0),
        ("0,08", "s", 80.0),
        ("8e-2", "s", 80.0),
        (" 50 ms ", "s", 50.0),
        ("50 msec.", "s", 50.0),
        ("100.0 Milliseconds", "s", 100.0),
        ("0.1s", "ms", 100.0),
        ("2 seconds", "ms", 2000.0),
        ("80", "fortnight", None),
        ("", "s", None),
        ("0", "s", None),
        ("-1", "s", None),
        ("nan", "s", None),
        ("inf", "s", None),
        ("1e308", "s", None),
        ("1:00", "s", None),
        ("auto", "s", None),
    ],
)
def test_durations_are_converted(value, unit, ms):
    assert milliseconds(value, unit) == (None if ms is None else pytest.approx(ms))


@pytest.mark.parametrize(("unit", "ms"), [({}, (80.0, 250.0)), ({"ExposureTimeUnit": ["ms"] * 2}, (0.08, 0.25))])
def test_an_ome_tiff_has_an_exposure_for_each_channel_in_seconds_unless_it_names_a_unit(tmp_path, unit, ms):
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "IgG"]}, "Plane": {"ExposureTime": [0.08, 0.25], **unit}}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.stack([GREY, GREY]), metadata=metadata)
    assert exposures(tmp_path / "a.ome.tif") == pytest.approx(ms)


def test_of_a_stack_the_exposures_of_the_chosen_plane_count(tmp_path):
    times = [0.01, 0.02, 0.03, 0.04]
    metadata = {"axes": "ZCYX", "Plane": {"ExposureTime": times}}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.stack([GREY] * 4).reshape(2, 2, 48, 64), metadata=metadata)
    assert exposures(tmp_path / "a.ome.tif", 2) == (30.0, 40.0)


def test_the_settings_of_micro_manager_have_milliseconds(tmp_path):
    tag = (51123, 2, None, '{"Exposure-ms": 120, "Channel": "FITC"}', True)
    tifffile.imwrite(tmp_path / "a.tif", GREY, extratags=[tag], photometric="minisblack")
    assert exposures(tmp_path / "a.tif") == (120.0,)


def test_files_without_an_exposure_have_none(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY)
    tifffile.imwrite(tmp_path / "a.ome.tif", GREY, metadata={"axes": "YX", "Plane": {"DeltaT": [1.0]}})
    assert exposures(tmp_path / "a.tif") == ()
    assert not any(exposures(tmp_path / "a.ome.tif"))


def test_a_czi_has_nanoseconds(tmp_path):
    pytest.importorskip("czifile", reason="the extra im-formats is not installed")
    tiles = [Tile(GREY, at={"C": n}) for n in range(2)]
    path = write_czi(tmp_path / "a.czi", tiles, channels=("DAPI", "IgG"), ns=(40_000_000, 150_000_000))
    assert exposures(path) == (40.0, 150.0)


def test_a_lif_has_seconds(tmp_path):
    pytest.importorskip("liffile", reason="the extra im-formats is not installed")
    infos = '<WideFieldChannelInfo ExposureTime="0.05"/><WideFieldChannelInfo ExposureTime="200 ms"/>'
    attached = f"<Attachment><ATLCameraSettingDefinition>{infos}</ATLCameraSettingDefinition></Attachment>"
    image = LifImage(np.stack([GREY, GREY]), (0, 2, 1), channels=("Blue", "Green"), attached=attached)
    assert exposures(write_lif(tmp_path / "a.lif", [image])) == (50.0, 200.0)


def test_a_lif_whose_settings_do_not_fit_the_channels_has_none():
    three = '<WideFieldChannelInfo ExposureTime="0.05"/>' * 2 + '<WideFieldChannelInfo ExposureTime="0.1"/>'
    assert lif_exposures(ET.fromstring(f"<Image>{three}</Image>"), 2) == ()
    one = '<Image><WideFieldChannelInfo ExposureTime="0.05"/></Image>'
    assert lif_exposures(ET.fromstring(one), 2) == (50.0, 50.0)


def test_an_nd2_has_milliseconds(tmp_path):
    pytest.importorskip("nd2", reason="the extra im-formats is not installed")
    frames = np.stack([GREY, GREY], axis=-1)[None]
    path = write_nd2(tmp_path / "a.nd2", frames, channels=("DAPI", "FITC"), exposures_ms=(30, 400))
    assert exposures(path) == (30.0, 400.0)


def test_channels_of_an_nd2_share_one_sample():
    planes = {"sPlaneNew": {"a0": {"uiSampleIndex": 0}, "a1": {"uiSampleIndex": 0}}}
    assert nd2_exposures({**planes, "sSampleSetting": {"a0": {"dExposureTime": 70.0}}}, 2) == (70.0, 70.0)
    assert nd2_exposures({**planes, "sSampleSetting": {}}, 2) == (None, None)
