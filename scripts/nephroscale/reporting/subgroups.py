"""Figures of the headline model in subgroups of the patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nephroscale.cohort.parse import number
from nephroscale.collect import grouped
from nephroscale.evaluation.networks import estimate_figures
from nephroscale.reporting.metric_values import Estimate
from nephroscale.reporting.report_inputs import ReportInputs
from nephroscale.reporting.results import Stacked
from nephroscale.reporting.study_values import Subgroup

FEW_GLOMERULI = 8
"""The Oxford classification of IgA nephropathy asks for this number of glomeruli."""

MOST_VALUES = 4
"""A numerical column with more values than this is divided at its median."""

NOT_STATED = "not stated"

Traits = dict[str, dict[str, str]]
"""Property to case to value, such as `{"site": {"P01": "north"}}`."""


def collect_traits(inputs: ReportInputs, cases: Sequence[str]) -> Traits:
    """Collect what divides the cases into subgroups.

    These are the columns of `report.subgroups` that the table of patients has, the modalities without usable images,
    and the number of glomeruli that were found in the fullest section of an OM slide.

    Parameters
    ----------
    inputs
        Inputs of the report.
    cases
        Ids of the cases.
    """
    listed = {case: inputs.cases[case].columns if case in inputs.cases else {} for case in cases}
    columns = dict.fromkeys(name for cells in listed.values() for name in cells)
    traits = {name: _divide({case: cells.get(name, "") for case, cells in listed.items()}) for name in columns}
    lacking = grouped(unit.bag for unit in inputs.stages.get("features", ()) if unit.bag and not unit.accepted)
    traits["modalities"] = {
        case: f"without {' and '.join(lacking[case])}" if case in lacking else "all present" for case in cases
    }
    found: dict[str, int] = {}
    for slide in inputs.slides:
        if slide.fullest_section is not None:
            found[slide.patient_id] = max(slide.fullest_section, found.get(slide.patient_id, 0))
    if found:
        words = (f"fewer than {FEW_GLOMERULI}", f"{FEW_GLOMERULI} or more")
        traits["glomeruli found"] = {
            case: words[found[case] >= FEW_GLOMERULI] if case in found else NOT_STATED for case in cases
        }
    return traits


def summarise_subgroups(
    stacked: Stacked, traits: Traits, classes: Sequence[str], fewest: int
) -> dict[str, list[Subgroup]]:
    """Estimate the figures of single networks in each subgroup.

    Parameters
    ----------
    stacked
        Out-of-fold predictions of the headline model.
    traits
        As :func:`collect_traits` gives them. A property with one value makes no subgroups.
    classes
        Names of the classes, in the order of their indices.
    fewest
        Patients that a subgroup needs.

    Returns
    -------
    dict
        Property to its subgroups. Smaller ones have their number of patients alone. The balanced accuracy is estimated
        only where the subgroup has every class: it would be the mean of other sensitivities.
    """
    return {
        name: [
            summarise_subgroup(value, stacked.of(groups[value]), classes, fewest)
            for value in sorted(groups, key=lambda value: (value == NOT_STATED, value))
        ]
        for name, values in traits.items()
        if len(groups := grouped((values[case], case) for case in stacked.cases)) > 1
    }


def summarise_subgroup(value: str, members: Stacked, classes: Sequence[str], fewest: int) -> Subgroup:
    """Estimate the figures of one subgroup; `value` is what its members have in common."""
    networks = members.networks
    patients = len(networks.strata)
    counts = {name: networks.persons_of(networks.labels == c) for c, name in enumerate(classes)}
    if patients < fewest:
        return Subgroup(value, patients, counts, note="too few patients")
    figures = estimate_figures(networks)
    absent = [name for name, count in counts.items() if not count]
    return Subgroup(
        value,
        patients,
        counts,
        accuracy=Estimate.of(figures["accuracy"].interval),
        balanced_accuracy=Estimate() if absent else Estimate.of(figures["balanced_accuracy"].interval),
        note=f"no patient with {' or '.join(absent)}" if absent else None,
    )


def _divide(values: Mapping[str, str]) -> dict[str, str]:
    """Divide a numerical column with many values at its median; an empty cell becomes :data:`NOT_STATED`."""
    numbers = {case: value for case, text in values.items() if (value := number(text)) is not None}
    stated = [case for case, text in values.items() if text]
    if len(set(numbers.values())) > MOST_VALUES and len(numbers) == len(stated):
        median = float(np.median(list(numbers.values())))
        values = {
            case: (f"below {median:g}" if numbers[case] < median else f"{median:g} or above") if case in numbers else ""
            for case in values
        }
    return {case: text or NOT_STATED for case, text in values.items()}
