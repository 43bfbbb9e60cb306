"""What the headers of raw images show before any job."""

import cv2
import numpy as np
import pytest
import tifffile

from nephroscale.stages.checks import images


def rejections(study):
    plan = study.plan()
    return {each.image.id: each for each in images.find_rejections(plan)}


def replace_file(study, name, content=b""):
    path = study.folder / "raw" / name
    path.unlink()
    path.write_bytes(content)
    return path


def test_images_that_can_be_used(study):
    assert rejections(study) == {}


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "the file is empty (0 bytes)"), (b"plain text", "its image format is unknown")]
)
def test_empty_and_foreign_files(study, content, reason):
    replace_file(study, "P1-IM.tif", content)
    found = rejections(study)
    assert found.keys() == {"P1-IM"}
    assert reason in found["P1-IM"].reason


def test_scales_that_are_missing(study):
    study.change("images", lambda row: row | {"mpp": "", "nm_per_px": "", "roi": ""})
    path = replace_file(study, "P0-OM.tif")
    path.write_bytes(cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1])
    found = rejections(study)
    assert "neither the file nor the table gives µm per pixel" in found["P0-OM"].reason
    assert "Fill the column mpp in images.csv." in found["P0-OM"].fix
    assert "neither the file nor the table gives nm per pixel" in found["P0-TEM"].reason
    assert "nm_per_px" in found["P0-TEM"].fix


def test_the_scale_of_a_header_is_enough(study):
    study.change("images", lambda row: row if row["image_id"] != "P1-IM" else row | {"mpp": "", "roi": ""})
    path = replace_file(study, "P1-IM.tif")
    metadata = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(path, np.zeros((64, 64), np.uint16), ome=True, metadata=metadata)
    assert rejections(study) == {}
    study.set(im={"mpp": 0.25})
    assert "too coarse: 0.5 µm per pixel, but 0.25 are needed" in rejections(study)["P1-IM"].reason


def test_slides_coarser_than_asked(study):
    study.set(om={"mpp": 0.5})
    found = rejections(study)
    assert found.keys() == {"P0-OM", "P1-OM", "S0-OM"}  # one glomerulus fills the others
    assert found["P0-OM"].reason == "it is too coarse: 1 µm per pixel, but 0.5 are needed"
    assert "raise om.mpp" in found["P0-OM"].fix


def test_one_warning_for_each_reason(study):
    study.set(om={"mpp": 0.5})
    replace_file(study, "P1-IM.tif")
    warnings = list(map(str, images.list_rejections(list(rejections(study).values()))))
    assert [text.splitlines()[0] for text in warnings] == [
        "3 images will be rejected: it is too coarse: 1 µm per pixel, but 0.5 are needed.",
        "1 image will be rejected: cannot be opened: the file is empty (0 bytes).",
    ]
    assert "S0-OM (raw/S0-OM.tif), P0-OM (raw/P0-OM.tif)" in warnings[0]


def test_images_that_no_model_reads_are_not_opened(study):
    replace_file(study, "P1-IM.tif")
    study.set(models={"cmusnet": {"modalities": ["TEM", "OM"]}})
    assert rejections(study) == {}
