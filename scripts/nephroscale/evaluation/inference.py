"""What a trained network says of patients, one by one: the same for test folds, validation sides and new patients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from nephroscale.models.ordinal import NAME as ORDINAL
from nephroscale.models.ordinal import class_log_probabilities
from nephroscale.training.data import collate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nephroscale.models.batch import Output
    from nephroscale.models.network import Network
    from nephroscale.training.data import Bag, Layout


@dataclass(frozen=True)
class PatientPrediction:
    """What a network says of one patient.

    Attributes
    ----------
    bag
        Of whom.
    log_probabilities
        [K] float64, of the heads that are reported (`task.prediction`).
    heads
        `softmax`, and `ordinal` where there is such a head, to probabilities [K].
    output
        All that the network gave, the patient alone in the batch.
    """

    bag: Bag
    log_probabilities: np.ndarray
    heads: dict[str, np.ndarray]
    output: Output

    @property
    def probabilities(self) -> np.ndarray:
        """Those reported, [K] float64."""
        return np.exp(self.log_probabilities)


def infer(
    network: Network,
    bags: Sequence[Bag],
    layouts: Mapping[str, Layout] | None = None,
    prediction: str = "softmax",
    device: str = "cpu",
) -> Iterator[PatientPrediction]:
    """Ask a network about patients one by one, in float32 and without augmentation.

    A prediction does not depend on who else is asked about.

    Parameters
    ----------
    network
        In evaluation mode.
    bags
        The patients.
    layouts
        Of the bags that the network was trained on: needed where a patient lacks a modality.
    prediction
        `softmax`, `ordinal` or `mean`, see :func:`nephroscale.models.ordinal.class_log_probabilities`.
    device
        `cpu` or `cuda`.
    """
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms would import the compiler
    for bag in bags:
        with torch.inference_mode():
            output = network(collate([bag], layouts).to(device), need_attention=True)
            reported = class_log_probabilities(output, prediction)[0].cpu().numpy()
            heads = {"softmax": class_log_probabilities(output)[0].exp().cpu().numpy()}
            if ORDINAL in output.extra:
                heads[ORDINAL] = class_log_probabilities(output, ORDINAL)[0].exp().cpu().numpy()
        yield PatientPrediction(bag, reported, heads, output)
