"""`segmenter_im`: the network that segments glomeruli in IM, trained on the patients set apart.

The artifact is a folder: `weights.safetensors` and `curve.json`.

The inputs are declared in `OutlinedSlidesStage` (stages/segmenter.py), for the outlined IM images of the patients set
apart: `tiles`, `outlines` (from `register`) and, with `im.keep: coordinates`, `facts`. The files of the outlines are
read, too, and with `coordinates` the raw files. The settings are the keys of `glomeruli` that `SegmenterSettings`
declares. A job calls `glomeruli.segmenter.train_segmenter`. Without this artifact, or if it is rejected, the classical
detector searches IM images (stages/glomeruli.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nephroscale.stages.outlined_images import trains_on_im
from nephroscale.stages.segmenter import Segmenter

if TYPE_CHECKING:
    from nephroscale.engine.stage import PlanView


class ImSegmenter(Segmenter):
    """One job per cohort, if `glomeruli.min_im_images` IM images are outlined and the method is not `classical`."""

    name = "segmenter_im"
    rule = "train_im_segmenter"
    modality = "IM"

    def units(self, plan: PlanView) -> list[str]:
        return ["cohort"] if trains_on_im(plan) else []


STAGE = ImSegmenter()
