"""What the models' runs said, read from their evaluations and pooled over folds and seeds."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.calibration_metrics import temper
from nephroscale.evaluation.tables import Predictions, read_heads, read_instances, read_predictions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
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
    calibration
        Content of `calibration.json`; None where no temperature was fitted.
    heads
        Each head's probabilities of the same patients, where the network has several.
    """

    fold: str
    seed: int
    predictions: Predictions | None
    instances: list[dict[str, Any]]
    curve: list[dict[str, Any]]
    best_epoch: int | None
    calibration: dict[str, Any] | None = None
    heads: dict[str, Predictions] = field(default_factory=dict)


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
        return self._pool(lambda run: run.predictions)

    @property
    def tempered(self) -> Predictions | None:
        """The same, each run's first tempered by its own temperature; None where a run has none."""
        if not all(run.calibration for run in self.runs if run.predictions):
            return None
        return self._pool(_tempered)

    def of_head(self, name: str) -> Predictions | None:
        """Out-of-fold predictions of one head; None where not every run has it."""
        if not all(name in run.heads for run in self.runs if run.predictions):
            return None
        return self._pool(lambda run: run.heads.get(name))

    def _pool(self, select: Callable[[Run], Predictions | None]) -> Predictions | None:
        """Average what is selected over the seeds of each fold, and put the folds together, sorted by patient."""
        parts = []
        for fold in self.folds:
            found = [select(run) for run in self.runs if run.fold == fold]
            if seeds := [predictions for predictions in found if predictions]:
                parts.append(average_seeds(seeds))
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
        second = np.concatenate([part.labels if part.second is None else part.second for part in parts])[order]
        between = any(part.second is not None for part in parts)
        return Predictions([patients[i] for i in order], labels, chances, second if between else None)


def _tempered(run: Run) -> Predictions | None:
    if run.predictions is None or run.calibration is None:
        return None
    chances = temper(run.predictions.probabilities, float(run.calibration["temperature"]))
    return replace(run.predictions, probabilities=chances)


def average_seeds(predictions: Sequence[Predictions]) -> Predictions:
    """Average the probabilities that networks of several seeds gave the same patients."""
    first = predictions[0]
    for other in predictions[1:]:
        if other.patients != first.patients or (other.labels != first.labels).any():
            raise NephroscaleError(
                "The seeds of one fold were evaluated on different patients.", where="evaluate", todo="Evaluate again."
            )
    return replace(first, probabilities=np.mean([p.probabilities for p in predictions], axis=0))


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
    calibrated: Path | None = run.get("temperature")
    curve = json.loads((train / "curve.json").read_text()) if train else []
    predictions = read_predictions(evaluate / "predictions.csv", classes) if evaluate else None
    return Run(
        fold=str(run["fold"]),
        seed=int(run["seed"]),
        predictions=predictions,
        instances=read_instances(evaluate / "instances.csv") if evaluate else [],
        curve=curve,
        best_epoch=json.loads((train / "model.json").read_text()).get("best_epoch") if train else None,
        calibration=json.loads((calibrated / "calibration.json").read_text()) if calibrated else None,
        heads=read_heads(evaluate / "heads.csv", predictions, classes) if evaluate and predictions else {},
    )
