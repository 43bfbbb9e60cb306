"""Inference patient by patient, the same for validation, test and new patients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from nephroscale.models.ordinal import ORDINAL, class_log_probabilities
from nephroscale.training.data import Bag, Layout, collate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nephroscale.models.batch import Output
    from nephroscale.models.network import Network


@dataclass(frozen=True)
class PatientPrediction:
    """Output of a network for one patient.

    Attributes
    ----------
    bag
        The patient's bags.
    log_probabilities
        [K] float64, of the reported head (`task.prediction`).
    heads
        Output head (`softmax`, and `ordinal` if the network has one) to probabilities [K].
    output
        Complete output of the network for a batch of this patient alone.
    """

    bag: Bag
    log_probabilities: np.ndarray
    heads: dict[str, np.ndarray]
    output: Output

    @property
    def probabilities(self) -> np.ndarray:
        """Probabilities of the reported head, [K] float64."""
        return np.asarray(np.exp(self.log_probabilities))


def infer(
    network: Network,
    bags: Sequence[Bag],
    layouts: Mapping[str, Layout] | None = None,
    prediction: str = "softmax",
    device: str = "cpu",
) -> Iterator[PatientPrediction]:
    """Predict patients one by one, in float32 and without augmentation.

    A prediction does not depend on the other patients.

    Parameters
    ----------
    network
        In evaluation mode.
    bags
        The patients.
    layouts
        Layouts of the bags that the network was trained on; required where a patient lacks a modality.
    prediction
        `softmax`, `ordinal` or `mean`, see :func:`nephroscale.models.ordinal.class_log_probabilities`.
    device
        `cpu` or `cuda`.
    """
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms would import torch's compiler
    for bag in bags:
        with torch.inference_mode():
            output = network(collate([bag], layouts).to(device), need_attention=True)
            reported = class_log_probabilities(output, prediction)[0].cpu().numpy()
            heads = {"softmax": class_log_probabilities(output)[0].exp().cpu().numpy()}
            if ORDINAL in output.extra:
                heads[ORDINAL] = class_log_probabilities(output, ORDINAL)[0].exp().cpu().numpy()
        yield PatientPrediction(bag, reported, heads, output)
