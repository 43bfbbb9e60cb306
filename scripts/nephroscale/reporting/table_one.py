"""Table 1: the cases by class and by fold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from nephroscale.cohort.fold_table import FoldTable
from nephroscale.cohort.parse import number
from nephroscale.reporting.report_inputs import ReportInputs
from nephroscale.reporting.study_values import TableOne, TableOneRow
from nephroscale.reporting.subgroups import MOST_VALUES, NOT_STATED


def make_table_one(inputs: ReportInputs, folds: FoldTable) -> TableOne:
    """Count the cases of each class and of each fold's test side.

    Parameters
    ----------
    inputs
        Inputs of the report.
    folds
        The folds.

    Returns
    -------
    TableOne
        Numbers of cases, the columns of `report.subgroups`, the number of images of each modality and the cases without
        usable images of it. Numerical columns have median and range. A soft label counts in its first class.
    """
    cases = sorted(folds.labels)
    columns = {
        "all": cases,
        **{name: [c for c in cases if folds.labels[c] == k] for k, name in enumerate(folds.classes)},
        **{f"fold {fold.site or fold.name}": list(fold.test) for fold in folds.divisions[0]},
    }
    cells = {case: inputs.cases[case].columns if case in inputs.cases else {} for case in cases}
    images = Counter((image.case, image.modality) for image in inputs.images.values())
    missing = {unit.name for unit in inputs.stages.get("features", ()) if not unit.accepted}
    rows = [TableOneRow("cases", "", [str(len(chosen)) for chosen in columns.values()])]
    for name in dict.fromkeys(name for each in cells.values() for name in each):
        rows += _describe(name, {case: each.get(name, "") for case, each in cells.items()}, columns)
    for modality in ("OM", "IM", "TEM"):
        counts = {case: str(images[case, modality]) for case in cases}
        if any(images[case, modality] for case in cases):
            rows += _describe(f"{modality} images", counts, columns, numerical=True)
        lacking = [sum(f"{case}-{modality}" in missing for case in chosen) for chosen in columns.values()]
        if lacking[0]:
            rows.append(TableOneRow(f"without {modality}", "", list(map(str, lacking))))
    return TableOne(list(columns), rows)


def _describe(
    name: str, values: Mapping[str, str], columns: Mapping[str, Sequence[str]], *, numerical: bool = False
) -> list[TableOneRow]:
    numbers = {case: value for case, text in values.items() if (value := number(text)) is not None}
    stated = sum(bool(text) for text in values.values())
    if not numerical and not (len(numbers) == stated and len(set(numbers.values())) > MOST_VALUES):
        levels = sorted({text or NOT_STATED for text in values.values()}, key=lambda text: (text == NOT_STATED, text))
        return [
            TableOneRow(
                name, level, [_share([(values[c] or NOT_STATED) == level for c in own]) for own in columns.values()]
            )
            for level in levels
        ]
    rows = [
        TableOneRow(
            name, "median (range)", [_median([numbers[c] for c in own if c in numbers]) for own in columns.values()]
        )
    ]
    if stated < len(values):
        rows.append(
            TableOneRow(name, NOT_STATED, [_share([c not in numbers for c in own]) for own in columns.values()])
        )
    return rows


def _share(found: Sequence[bool]) -> str:
    return f"{sum(found)} ({sum(found) / len(found):.0%})" if found else "0"


def _median(values: Sequence[float]) -> str:
    return f"{np.median(values):g} ({min(values):g}–{max(values):g})" if values else "–"
