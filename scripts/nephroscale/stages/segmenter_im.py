"""`segmenter_im`: the network that segments glomeruli in IM, trained on the patients set apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nephroscale.stages.outlined_images import trains_on_im
from nephroscale.stages.segmenter import Segmenter

if TYPE_CHECKING:
    from nephroscale.engine.stage import PlanView


class ImSegmenter(Segmenter):
    """One job per cohort, where enough IM images of patients set apart are outlined."""

    name = "segmenter_im"
    rule = "train_im_segmenter"
    modality = "IM"

    def units(self, plan: PlanView) -> list[str]:
        return ["cohort"] if trains_on_im(plan) else []


STAGE = ImSegmenter()
