"""What the models' runs said, read from their evaluations and pooled over folds and seeds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.tables import Predictions, read_instances, read_predictions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Run:
    """One model, fold and seed.

    Attributes
    ----------
    fold, seed
        Which one.
    predictions
        Of the fold's test patients; None where there is no evaluation.
    instances
        Rows of `instances.csv`.
    curve
        Epochs of `curve.json`; empty where there is no training.
    best_epoch
        The epoch whose weights were kept; None where there is no training.
    """

    fold: str
    seed: int
    predictions: Predictions | None
    instances: list[dict[str, Any]]
    curve: list[dict[str, Any]]
    best_epoch: int | None


@dataclass(frozen=True)
class ModelResults:
    """All runs of one model.

    Attributes
    ----------
    name
        As in the configuration.
    settings
        Its entry of `models`.
    runs
        Sorted by fold and seed.
    """

    name: str
    settings: dict[str, Any]
    runs: list[Run]

    @property
    def folds(self) -> list[str]:
        """Names of the folds with predictions, in order."""
        return list(dict.fromkeys(run.fold for run in self.runs if run.predictions))

    def of_fold(self, fold: str) -> list[Predictions]:
        """Predictions of a fold's test patients, one of each seed."""
        return [run.predictions for run in self.runs if run.fold == fold and run.predictions]

    @property
    def pooled(self) -> Predictions | None:
        """Out-of-fold predictions of all patients, averaged over the seeds, sorted by patient."""
        parts = [average_seeds(self.of_fold(fold)) for fold in self.folds]
        if not parts:
            return None
        patients = [patient for part in parts for patient in part.patients]
        if len(set(patients)) < len(patients):
            twice = sorted({p for p in patients if patients.count(p) > 1})
            raise NephroscaleError(
                f"Patients are tested in more than one fold: {', '.join(twice)}.",
                where=f"evaluations of {self.name}",
                todo="Make the folds again.",
            )
        order = np.argsort(np.array(patients))
        labels = np.concatenate([part.labels for part in parts])[order]
        chances = np.concatenate([part.probabilities for part in parts])[order]
        return Predictions([patients[i] for i in order], labels, chances)


def average_seeds(predictions: Sequence[Predictions]) -> Predictions:
    """Average the probabilities that networks of several seeds gave the same patients."""
    first = predictions[0]
    for other in predictions[1:]:
        if other.patients != first.patients or (other.labels != first.labels).any():
            raise NephroscaleError(
                "The seeds of one fold were evaluated on different patients.", where="evaluate", todo="Evaluate again."
            )
    return Predictions(first.patients, first.labels, np.mean([p.probabilities for p in predictions], axis=0))


def read_results(name: str, entry: Mapping[str, Any], classes: Sequence[str]) -> ModelResults:
    """Read all runs of a model.

    Parameters
    ----------
    name
        Name of the model.
    entry
        `settings`, and `folds`: for each run `fold`, `seed`, and the objects of `evaluate` and `train` (or None).
    classes
        Names of the classes, in the order of their indices.
    """
    runs = [_read_run(run, classes) for run in entry["folds"]]
    return ModelResults(name, dict(entry["settings"]), sorted(runs, key=lambda run: (_natural(run.fold), run.seed)))


def _natural(name: str) -> tuple[int, str]:
    """Order fold 10 after fold 9."""
    return (int(name), "") if name.isdecimal() else (1 << 30, name)


def _read_run(run: Mapping[str, Any], classes: Sequence[str]) -> Run:
    evaluate: Path | None = run["evaluate"]
    train: Path | None = run["train"]
    curve = json.loads((train / "curve.json").read_text()) if train else []
    return Run(
        fold=str(run["fold"]),
        seed=int(run["seed"]),
        predictions=read_predictions(evaluate / "predictions.csv", classes) if evaluate else None,
        instances=read_instances(evaluate / "instances.csv") if evaluate else [],
        curve=curve,
        best_epoch=json.loads((train / "model.json").read_text()).get("best_epoch") if train else None,
    )
