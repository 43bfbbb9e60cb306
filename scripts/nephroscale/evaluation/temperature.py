"""Fitting a run's temperature on its fold's validation patients."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from nephroscale.errors import Rejected
from nephroscale.evaluation.calibration_metrics import (
    BOUNDS,
    fit_temperature,
    make_targets,
    negative_log_likelihood,
    temper,
)
from nephroscale.evaluation.evaluate import check_match
from nephroscale.evaluation.inference import infer
from nephroscale.evaluation.tables import Predictions, write_predictions
from nephroscale.models.weights import load_model
from nephroscale.training.data import layouts_from, load_bags
from nephroscale.training.folds import read_fold
from nephroscale.training.missing import choose_cases

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def calibrate(  # noqa: PLR0917  (one argument per thing that a job hands over)
    folds: Mapping[str, Any],
    fold: str,
    weights: Path,
    features: Mapping[str, Mapping[str, Path]],
    out: Path,
    device: str = "cpu",
    negatives: Mapping[str, Sequence[int]] | None = None,
    prediction: str = "softmax",
) -> dict[str, Any]:
    """Fit the temperature of a trained network on the fold's validation patients; test patients are never opened.

    Parameters
    ----------
    folds
        Content of `folds.json`.
    fold
        Name of the fold.
    weights
        Object of `train`.
    features
        Patient id to modality to the Zarr group of the stage `features`.
    out
        Folder to create: `calibration.json` and `validation.csv`.
    device
        `cpu` or `cuda`.
    negatives
        Patient id to the slots of the IM panel whose markers were found negative and not photographed.
    prediction
        Which head is reported, and therefore calibrated.

    Returns
    -------
    dict
        `temperature`; `at_bound`, whether it would go further if it might; `patients`; `nll_before`, `nll_after`.

    Raises
    ------
    Rejected
        When no validation patient has what the network needs.
    """
    split = read_fold(folds, fold)
    network, metadata = load_model(weights, device)
    check_match(metadata, fold, split.classes)
    bags = load_bags(
        features,
        split.validation,
        metadata["modalities"],
        labels=split.labels,
        second=split.second,
        lacking=split.lacking,
        negatives=negatives,
        apart=split.test,
        maximum_instances=metadata["train"]["maximum_instances"],
        seed=metadata["seed"],
    )
    bags, _ = choose_cases(bags, metadata["modalities"], network)
    if not bags:
        raise Rejected("no validation patient has what the network needs")
    said = list(infer(network, bags, layouts_from(metadata), prediction, device))
    probabilities = np.stack([one.probabilities for one in said])
    labels = [bag.label for bag in bags]
    second = [bag.label if bag.second is None else bag.second for bag in bags]
    targets = make_targets(labels, second, len(split.classes))
    temperature = fit_temperature(probabilities, targets)
    figures = {
        "temperature": temperature,
        "at_bound": bool(min(abs(np.log(temperature / bound)) for bound in BOUNDS) < 1e-4),
        "patients": len(bags),
        "nll_before": round(negative_log_likelihood(probabilities, targets), 6),
        "nll_after": round(negative_log_likelihood(temper(probabilities, temperature), targets), 6),
    }
    out.mkdir(parents=True)
    (out / "calibration.json").write_text(json.dumps(figures, sort_keys=True, indent=1) + "\n", encoding="utf-8")
    both = np.array(second) if split.second else None
    said_of = Predictions([bag.patient for bag in bags], np.array(labels, np.int64), probabilities, both)
    write_predictions(out / "validation.csv", said_of, split.classes)
    return figures


def read_temperature(folder: Path) -> float:
    """Read the temperature of an object of `temperature`."""
    return float(json.loads((folder / "calibration.json").read_text(encoding="utf-8"))["temperature"])
