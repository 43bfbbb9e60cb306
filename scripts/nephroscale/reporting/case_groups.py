"""Groups of cases whose pages link to each other: cases of the folds, external cases, new cases."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from nephroscale.collect import grouped
from nephroscale.evaluation.tables import InstanceWeight, read_removed, read_rows
from nephroscale.reporting.external_section import ExternalCase, ExternalMetrics, read_cases, read_tem_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nephroscale.reporting.report_inputs import ReportInputs
    from nephroscale.reporting.results import ModelResults


class PredictionRow(NamedTuple):
    """Prediction of one case; `true` names the true class, or both of a soft label; a new case has none."""

    id: str
    true: str
    predicted: str
    right: bool
    probabilities: list[float]
    certainty: float


class Probabilities(NamedTuple):
    """Class probabilities of one prediction, and which input it used."""

    name: str
    probabilities: Sequence[float]


@dataclass(frozen=True)
class CaseGroup:
    """Cases whose pages lead to each other, with the predictions and weights that the pages show.

    Attributes
    ----------
    patients
        The cases, in the order of their pages.
    weights
        Case to the weights of its TEM images.
    single
        Model of one modality to case to probabilities.
    removed
        Case to modality to the probabilities without it.
    ensemble
        Case to its prediction by the ensemble, for external and new cases.
    members
        Number of networks of the ensemble.
    not_predicted
        Case to the reason why it was not predicted, for new cases.
    new
        Whether these are new cases, which have no label.
    """

    patients: Sequence[PredictionRow]
    weights: Mapping[str, Sequence[InstanceWeight]]
    single: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    removed: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    ensemble: Mapping[str, ExternalCase] = field(default_factory=dict)
    members: int = 0
    not_predicted: Mapping[str, str] = field(default_factory=dict)
    new: bool = False

    @property
    def name(self) -> str:
        """What one of these cases is called."""
        return "new case" if self.new else "external case" if self.ensemble else "case"

    def rows(self, patient: PredictionRow, modalities: Sequence[str]) -> list[Probabilities]:
        """Probabilities of a case with all modalities that it has, and without each."""
        without = self.removed.get(patient.id, {})
        return [
            Probabilities(", ".join(without or modalities), patient.probabilities),
            *(Probabilities(f"without {name}", found) for name, found in without.items()),
        ]

    def alone(self, case: str) -> list[Probabilities]:
        """Probabilities of a case by each model of one modality."""
        return [Probabilities(name, found[case]) for name, found in self.single.items() if case in found]


def of_folds(models: Mapping[str, ModelResults], results: ModelResults, patients: Sequence[PredictionRow]) -> CaseGroup:
    """Cases of the folds: predictions on the test side, with the weights of the first seed's network."""
    single = {
        name: dict(zip(found.patients, found.probabilities.tolist(), strict=True))
        for name, other in models.items()
        if len(other.modalities) == 1 and (found := other.pooled)
    }
    return CaseGroup(patients, results.first_instances, single, results.removed)


def of_external(
    inputs: ReportInputs,
    models: Mapping[str, ModelResults],
    headline: str,
    patients: Sequence[PredictionRow],
    metrics: Mapping[str, ExternalMetrics],
) -> CaseGroup:
    """External cases: predictions and weights of the ensemble."""
    single = {
        name: {case.id: case.probabilities for case in found.cases}
        for name, found in metrics.items()
        if len(models[name].modalities) == 1
    }
    predictions = inputs.external[headline]
    return CaseGroup(
        patients,
        read_tem_weights(predictions),
        single,
        _removed(predictions, inputs.classes),
        ensemble={case.id: case for case in metrics[headline].cases},
        members=metrics[headline].members,
    )


def of_new(predictions: Path, classes: Sequence[str]) -> CaseGroup:
    """New cases of an object of the stage `predict`: first those that were not predicted, then the least certain."""
    rows = read_rows(predictions / "predictions.csv")
    cases, refused = read_cases(rows, classes)
    found = [row_of(case) for case in cases]
    return CaseGroup(
        [
            *(PredictionRow(case, "", "", True, [], 0.0) for case in refused),
            *sorted(found, key=lambda row: (row.certainty, row.id)),
        ],
        read_tem_weights(predictions),
        removed=_removed(predictions, classes),
        ensemble={case.id: case for case in cases},
        members=max((int(row["members"]) for row in rows), default=0),
        not_predicted=refused,
        new=True,
    )


def row_of(case: ExternalCase) -> PredictionRow:
    """Give an ensemble's prediction the form of a prediction out of fold, rounded to three digits."""
    probabilities = [round(p, 3) for p in case.probabilities]
    return PredictionRow(case.id, case.true, case.predicted, case.right, probabilities, max(probabilities))


def _removed(predictions: Path, classes: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    """Case to modality left out to the ensemble's probabilities without it."""
    found = read_removed(predictions / "removed.csv", classes)
    by_case = grouped((case, (modality, probabilities)) for (case, modality), probabilities in found.items())
    return {case: dict(without) for case, without in by_case.items()}
