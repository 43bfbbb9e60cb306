"""The default segmenter on public fields that it was not trained on (benchmarks/kidney.py has all figures)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch

from nephroscale.cohort.image import ImageRow
from nephroscale.glomeruli.contours import read_geojson
from nephroscale.glomeruli.glomeruli import find_glomeruli
from nephroscale.glomeruli.labelled_slide import AnnotatedSlide
from nephroscale.glomeruli.metrics import detection
from nephroscale.glomeruli.outlines import read_outlines
from nephroscale.glomeruli.segmenter import train_segmenter
from nephroscale.glomeruli.settings import DetectionSettings, SegmenterSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OM = ImageRow(id="I", patient_id="P", modality="OM")


@pytest.mark.long
def test_all_glomeruli_of_an_unknown_field_are_found_and_an_unknown_stain_is_noticed(
    shared: Path, tmp_path: Path, make_tiles: Callable[..., Path]
) -> None:
    torch.set_num_threads(1)
    folder = shared / "data/kidney_om"

    def tiles(file: str, mpp: float) -> Path:
        pixels = np.ascontiguousarray(cv2.imread(str(folder / file))[..., ::-1])
        return make_tiles(tmp_path / file, pixels, mpp=mpp)

    known = AnnotatedSlide("C2", tiles("vegf_ihc_C2.jpg", 2 / 3), folder / "vegf_ihc_C2.imagej_rois.zip")
    train_segmenter([known], SegmenterSettings(), 1, tmp_path / "model")
    other = tiles("vegf_ihc_C1.jpg", 2 / 3)
    figures = find_glomeruli(other, tmp_path / "model", OM, DetectionSettings(), tmp_path / "C1", "d1")
    assert (figures["method"], figures["stain_unknown"]) == ("unet", False)
    found = [one.polygon for one in read_geojson(tmp_path / "C1/glomeruli.geojson")]
    true = read_outlines(folder / "vegf_ihc_C1.imagej_rois.zip").polygons
    assert detection(found, true)["recall"] == 1
    assert len(found) <= len(true) + 3  # glomeruli that the border cuts are not outlined
    pas = tiles("0486052bb_positive_000096_image.png", 0.5)
    figures = find_glomeruli(pas, tmp_path / "model", OM, DetectionSettings(), tmp_path / "pas", "d2")
    assert (figures["method"], figures["stain_unknown"]) == ("classical", True)
