"""What was trained, Table 1 and figures of other folds, as `metrics.json` and the page have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nephroscale.reporting.headline_metrics import Subgroup
    from nephroscale.reporting.metric_values import Estimate


@dataclass(frozen=True)
class Trained:
    """What was trained as one model.

    Attributes
    ----------
    family
        Kind of network.
    encoders
        Modality to its encoder: name, weights, and whether it was trained.
    encoder_trained
        Whether the training changed an encoder.
    learning_rate, final_learning_rate, weight_decay, batch_size, epochs, patience
        As in the section `train` of the configuration.
    best_epochs
        Smallest and largest epoch whose weights were kept; empty without a training.
    parameters
        Number of parameters of the network; None without a training.
    standardised
        Whether each channel of the features was standardised by its mean and deviation on the training side.
    """

    family: str
    encoders: dict[str, str]
    encoder_trained: bool
    learning_rate: float
    final_learning_rate: float
    weight_decay: float
    batch_size: int
    epochs: int
    patience: int
    best_epochs: list[int]
    parameters: int | None
    standardised: bool


@dataclass(frozen=True)
class TableOneRow:
    """A row of Table 1: the property, its level (or what is given of it), and a cell for each column."""

    name: str
    level: str
    cells: list[str]


@dataclass(frozen=True)
class TableOne:
    """Table 1: all cases, those of each class, and those of each fold's test side."""

    columns: list[str]
    rows: list[TableOneRow]


@dataclass(frozen=True)
class LeftOutSites:
    """Balanced accuracy of single networks that were trained without the site of the patients they are tested on.

    Attributes
    ----------
    divided
        Model to its value on the stratified folds, of the cases that both kinds of folds test.
    pooled
        Model to its value over all sites that were left out.
    sites
        Model to site to its figures on the patients of this site.
    difference
        Model to `pooled` minus `divided`, on the same patients.
    """

    divided: dict[str, Estimate]
    pooled: dict[str, Estimate]
    sites: dict[str, list[Subgroup]]
    difference: dict[str, Estimate]


@dataclass(frozen=True)
class CorrectedTest:
    """Mean difference of a model from the headline model over all folds, with the corrected resampled t and its p."""

    difference: float
    folds: int
    t: float
    p: float


@dataclass(frozen=True)
class Repeats:
    """Balanced accuracy of single networks in each division, and tests over all folds.

    Attributes
    ----------
    values
        Model to its value in each division; None where it is not estimable.
    tests
        Model to its comparison with the headline model; absent where the folds do not allow one.
    """

    values: dict[str, list[float | None]]
    tests: dict[str, CorrectedTest]
