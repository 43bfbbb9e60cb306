"""Summary of the cohort from its fold table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nephroscale.cohort.fold_table import FoldTable, LabelCount


@dataclass(frozen=True)
class CohortSummary:
    """The cases in the folds.

    Attributes
    ----------
    patients
        Number of cases.
    classes
        Class to the number of cases with this true class.
    between
        Number of cases with a soft label.
    folds, scheme
        Number of folds of one division, and how they were made.
    excluded
        Patient to the reason for the exclusion.
    texts
        Label texts of the table.
    mixed
        Treatment of labels that name two classes: `policy` and `patients`.
    people
        Case to patient, for patients with several biopsies.
    lacking
        Case to modality to the reason why it is missing.
    looks
        Fold to the number of configurations ever scored on its test patients.
    """

    patients: int
    classes: dict[str, int]
    between: int
    folds: int
    scheme: str
    excluded: dict[str, str]
    texts: list[LabelCount]
    mixed: dict[str, object]
    people: dict[str, str]
    lacking: dict[str, dict[str, str]]
    looks: dict[str, int]


def summarise_cohort(table: FoldTable, test_set_uses: Mapping[str, int]) -> CohortSummary:
    """Summarise the fold table; `test_set_uses` is fold to the number of configurations scored on its test patients."""
    certain = [label for case, label in table.labels.items() if case not in table.second]
    return CohortSummary(
        patients=len(table.labels),
        classes={name: certain.count(c) for c, name in enumerate(table.classes)},
        between=len(table.second),
        folds=len(table.divisions[0]),
        scheme=table.scheme,
        excluded=table.excluded,
        texts=list(table.texts),
        mixed=table.mixed_to_mapping(),
        people=table.people,
        lacking=table.lacking,
        looks=dict(test_set_uses),
    )
