"""Results of the models' runs, read from their evaluations and pooled over folds and seeds."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from nephroscale.cohort.fold_table import FoldSides
from nephroscale.collect import grouped
from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.calibration_metrics import apply_temperature
from nephroscale.evaluation.fitted_temperature import FittedTemperature, read_temperature
from nephroscale.evaluation.networks import Networks
from nephroscale.evaluation.tables import (
    InstanceWeight,
    Predictions,
    read_heads,
    read_instances,
    read_predictions,
    read_removed,
)
from nephroscale.reporting.report_inputs import FoldRun, ModelRuns


class Epoch(NamedTuple):
    """Mean loss of the training and validation patients in one epoch."""

    epoch: int
    train_loss: float
    validation_loss: float


@dataclass(frozen=True)
class FoldResult:
    """One model, fold and seed.

    Attributes
    ----------
    fold, seed
        Name of the fold; seed.
    predictions
        Predictions of the fold's test patients; None without an evaluation.
    instances
        Weights of the TEM images.
    curve
        Training curve; empty without a training.
    best_epoch
        Epoch whose weights were kept; None without a training.
    temperature
        None where no temperature was fitted.
    heads
        Output head to its predictions of the same patients, where the network has several.
    removed
        Patient and modality left out to the probabilities without it.
    """

    fold: str
    seed: int
    predictions: Predictions | None
    instances: list[InstanceWeight] = field(default_factory=list)
    curve: list[Epoch] = field(default_factory=list)
    best_epoch: int | None = None
    temperature: FittedTemperature | None = None
    heads: dict[str, Predictions] = field(default_factory=dict)
    removed: dict[tuple[str, str], list[float]] = field(default_factory=dict)


class Stacked(NamedTuple):
    """Out-of-fold predictions of the cases with one true class by each network: case ids, and the predictions."""

    cases: list[str]
    networks: Networks

    def of(self, cases: Collection[str]) -> Stacked:
        """Select cases by id, sorted by id."""
        wanted = set(cases)
        chosen = sorted((case, place) for place, case in enumerate(self.cases) if case in wanted)
        return Stacked([case for case, _ in chosen], self.networks.select([place for _, place in chosen]))


@dataclass(frozen=True)
class ModelResults:
    """All runs of one model.

    Attributes
    ----------
    name
        Name in the configuration.
    runs
        Sorted by fold and seed.
    modalities
        Modalities that the model reads.
    attention
        Whether a model of several modalities uses attention between them.
    """

    name: str
    runs: list[FoldResult]
    modalities: tuple[str, ...] = ()
    attention: bool = True

    @property
    def folds(self) -> list[str]:
        """Names of the folds with predictions, in order."""
        return list(dict.fromkeys(run.fold for run in self.runs if run.predictions))

    def of_fold(self, fold: str) -> list[Predictions]:
        """Predictions of a fold's test patients, one for each seed."""
        return [run.predictions for run in self.runs if run.fold == fold and run.predictions]

    def of_folds(self, folds: Sequence[FoldSides]) -> ModelResults:
        """Select the runs of some folds."""
        names = {fold.name for fold in folds}
        return replace(self, runs=[run for run in self.runs if run.fold in names])

    @property
    def pooled(self) -> Predictions | None:
        """Out-of-fold predictions of all patients, averaged over the seeds, sorted by patient."""
        return self._pool(lambda run: run.predictions)

    @property
    def calibrated(self) -> Predictions | None:
        """Pooled predictions after each run's own temperature scaling; None where a run has no temperature."""
        if not all(run.temperature for run in self.runs if run.predictions):
            return None
        return self._pool(_calibrate)

    @property
    def first_instances(self) -> dict[str, list[InstanceWeight]]:
        """Patient to the weights of the TEM images in the first seed's network of the fold."""
        first = [next(run for run in self.runs if run.fold == fold and run.predictions) for fold in self.folds]
        return grouped((row.patient_id, row) for run in first for row in run.instances)

    @property
    def removed(self) -> dict[str, dict[str, list[float]]]:
        """Patient to modality left out to the probabilities without it, averaged over the seeds."""
        found = grouped(entry for run in self.runs for entry in run.removed.items())
        means = grouped((who, (name, np.mean(seeds, axis=0).tolist())) for (who, name), seeds in found.items())
        return {patient: dict(without) for patient, without in means.items()}

    @property
    def last_epochs(self) -> int:
        """Number of trainings whose best epoch is the last one."""
        return sum(bool(run.curve) and run.best_epoch == run.curve[-1].epoch for run in self.runs)

    def stack(self, people: Mapping[str, str]) -> Stacked | None:
        """Collect the predictions of each network, for figures of single networks.

        A network stands for one training in each fold, that of the same seed; where seeds are missing, folds have as
        many networks as the fold with the fewest. Cases with a soft label are left out.

        Parameters
        ----------
        people
            Case to patient, for patients with several biopsies.
        """
        return self._stack(people, lambda run: run.predictions)

    def stack_head(self, name: str, people: Mapping[str, str]) -> Stacked | None:
        """Collect the predictions of one output head; None where a run does not have it."""
        if not all(name in run.heads for run in self.runs if run.predictions):
            return None
        return self._stack(people, lambda run: run.heads.get(name))

    def _stack(self, people: Mapping[str, str], select: Callable[[FoldResult], Predictions | None]) -> Stacked | None:
        self._pool(select)  # refuses folds and seeds that contradict each other
        seeds = {
            fold: found
            for fold in self.folds
            if (found := [p.certain for run in self.runs if run.fold == fold and (p := select(run))])
            and found[0].patients
        }
        if not seeds:
            return None
        count = min(len(found) for found in seeds.values())
        cases = [case for found in seeds.values() for case in found[0].patients]
        networks = Networks.of(
            np.concatenate([found[0].labels for found in seeds.values()]),
            np.concatenate([[p.probabilities for p in found[:count]] for found in seeds.values()], axis=1),
            [people.get(case, case) for case in cases],
            [fold for fold, found in seeds.items() for _ in found[0].patients],
        )
        return Stacked(cases, networks).of(cases)

    def _pool(self, select: Callable[[FoldResult], Predictions | None]) -> Predictions | None:
        """Average the selected predictions over the seeds of each fold and pool the folds, sorted by patient."""
        parts = [
            average_seeds(seeds)
            for fold in self.folds
            if (seeds := [found for run in self.runs if run.fold == fold and (found := select(run))])
        ]
        if not parts:
            return None
        patients = [patient for part in parts for patient in part.patients]
        if len(set(patients)) < len(patients):
            twice = sorted({p for p in patients if patients.count(p) > 1})
            raise NephroscaleError(
                f"Patients are tested in more than one fold: {', '.join(twice)}.",
                where=f"evaluations of {self.name}",
                fix="Make the folds again.",
            )
        order = np.argsort(np.array(patients), kind="stable")
        labels = np.concatenate([part.labels for part in parts])[order]
        probabilities = np.concatenate([part.probabilities for part in parts])[order]
        second = np.concatenate([part.labels if part.second is None else part.second for part in parts])[order]
        between = any(part.second is not None for part in parts)
        return Predictions([patients[i] for i in order], labels, probabilities, second if between else None)


def _calibrate(run: FoldResult) -> Predictions | None:
    if run.predictions is None or run.temperature is None:
        return None
    return replace(
        run.predictions,
        probabilities=apply_temperature(run.predictions.probabilities, float(run.temperature.temperature)),
    )


def average_seeds(predictions: Sequence[Predictions]) -> Predictions:
    """Average the probabilities of the same patients over the seeds of a fold."""
    first = predictions[0]
    for other in predictions[1:]:
        if other.patients != first.patients or (other.labels != first.labels).any():
            raise NephroscaleError(
                "The seeds of one fold were evaluated on different patients.",
                where="evaluate",
                fix="Evaluate the models again.",
            )
    return replace(first, probabilities=np.mean([p.probabilities for p in predictions], axis=0))


def read_results(name: str, model: ModelRuns, classes: Sequence[str]) -> ModelResults:
    """Read all runs of a model.

    Parameters
    ----------
    name
        Name of the model.
    model
        Objects of its runs.
    classes
        Names of the classes, in the order of their indices.
    """
    runs = sorted((_read_run(run, classes) for run in model.runs), key=lambda run: (_natural(run.fold), run.seed))
    return ModelResults(name, runs, model.modalities, model.attention)


def _natural(name: str) -> tuple[int, str]:
    """Order fold 10 after fold 9."""
    return (int(name), "") if name.isdecimal() else (1 << 30, name)


def _read_run(run: FoldRun, classes: Sequence[str]) -> FoldResult:
    evaluation, training = run.evaluation, run.training
    predictions = read_predictions(evaluation / "predictions.csv", classes) if evaluation else None
    return FoldResult(
        fold=run.fold,
        seed=run.seed,
        predictions=predictions,
        instances=read_instances(evaluation / "instances.csv") if evaluation else [],
        curve=[
            Epoch(row["epoch"], row["train_loss"], row["validation_loss"])
            for row in (json.loads((training / "curve.json").read_text()) if training else [])
        ],
        best_epoch=json.loads((training / "model.json").read_text()).get("best_epoch") if training else None,
        temperature=read_temperature(run.temperature) if run.temperature else None,
        heads=read_heads(evaluation / "heads.csv", predictions, classes) if evaluation and predictions else {},
        removed=read_removed(evaluation / "removed.csv", classes) if evaluation else {},
    )
