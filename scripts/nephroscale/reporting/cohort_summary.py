"""Summary of the cohort from its fold table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


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
        Label texts of the table: `text`, `meaning`, `patients`, `in_folds`.
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
    texts: list[dict[str, object]]
    mixed: dict[str, object]
    people: dict[str, str]
    lacking: dict[str, dict[str, str]]
    looks: dict[str, int]


@dataclass(frozen=True)
class Cohort:
    """Summary of the cohort, and the number of its patients."""

    summary: CohortSummary
    people: int


def read_cohort(folds: Path, classes: Sequence[str], test_set_uses: Mapping[str, int]) -> Cohort:
    """Summarise the fold table.

    Parameters
    ----------
    folds
        Object of the stage `folds`, or its file `folds.json`.
    classes
        Names of the classes, in the order of their indices.
    test_set_uses
        Fold to the number of configurations ever scored on its test patients.
    """
    table = json.loads((folds / "folds.json" if folds.is_dir() else folds).read_text(encoding="utf-8"))
    labels, second, people = table["labels"], table.get("second", {}), table.get("people", {})
    certain = [label for case, label in labels.items() if case not in second]
    summary = CohortSummary(
        patients=len(labels),
        classes={name: certain.count(c) for c, name in enumerate(classes)},
        between=len(second),
        folds=(len(table["folds"]) - table.get("left_out_sites", 0)) // table.get("repeats", 1),
        scheme=table["scheme"],
        excluded=table["excluded"],
        texts=table.get("texts", []),
        mixed=table.get("mixed", {"policy": None, "patients": {}}),
        people=people,
        lacking=table.get("lacking", {}),
        looks=dict(test_set_uses),
    )
    return Cohort(summary, len({people.get(case, case) for case in labels}))
