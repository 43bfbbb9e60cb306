"""Patient-level folds: stratified, grouped, deterministic."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from nephroscale.cohort.fold_table import SIDES, FoldSides, FoldTable, assert_disjoint
from nephroscale.cohort.stratified_groups import PatientGroup, Subset, divide, draw
from nephroscale.collect import grouped
from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nephroscale.cohort.patient import PatientRow
    from nephroscale.cohort.settings import FoldsSettings


def make_folds(
    patients: Sequence[PatientRow],
    classes: Sequence[str],
    settings: FoldsSettings,
    seed: int,
    *,
    min_per_class: int,
    permute_labels: int | None,
) -> FoldTable:
    """Divide patients into folds, each with a training, a validation and a test side.

    Every eligible patient is tested in one fold of each division (`settings.repeats`), and in one of the folds that
    leave a site out, if there are any (`settings.left_out_sites`); these come last. Patients of one group stay on
    one side. Classes, and sites within classes where counts allow, are spread evenly over the folds' test sides, and
    likewise between training and validation; wherever the numbers allow, every side has every class. The result depends
    on the seed, and not on the order of the patients.

    Parameters
    ----------
    patients
        All patients of the cohort, eligible or not.
    classes
        Names of the classes in their order.
    settings
        Scheme, number of folds, and fraction for validation.
    seed
        Decides between equally good divisions.
    min_per_class
        Fewer eligible patients in a class are an error.
    permute_labels
        Seed of a random permutation of the labels among the eligible patients, made before the folds; None for none.
        Cases of one group get the labels of one other group.

    Returns
    -------
    FoldTable
        Without the counts of label texts and the missing modalities, which the table of patients does not decide.

    Raises
    ------
    NephroscaleError
        When a class has too few patients, there are fewer groups than folds, or the sites do not allow
        leave_one_site_out.
    """
    _check_ids(patients)
    eligible = {patient.id: patient for patient in sorted(patients, key=lambda p: p.id) if patient.eligible}
    excluded = {p.id: p.reason or "not eligible" for p in sorted(patients, key=lambda p: p.id) if not p.eligible}
    labels = _labels(eligible, classes, min_per_class, len(excluded))
    second = {name: classes.index(patient.second) for name, patient in eligible.items() if patient.second}
    sizes = Counter(patient.group for patient in eligible.values())
    groups = {name: patient.group for name, patient in eligible.items() if patient.group and sizes[patient.group] > 1}
    if permute_labels is not None:  # the second class of a soft label moves with the first
        source = exchange_labels(labels, groups, permute_labels)
        second = {name: second[other] for name, other in source.items() if other in second}
        labels = {name: labels[other] for name, other in source.items()}
    sites = {name: patient.site or "" for name, patient in eligible.items()}
    roster = _Roster(labels, sites, groups, len(classes), seed)
    if settings.scheme == "leave_one_site_out":
        held_out = _by_site(roster, settings.n_folds, "folds.n_folds")
    else:
        held_out = [(None, test) for r in range(settings.repeats) for test in _stratified(roster, settings.n_folds, r)]
        if settings.left_out_sites:
            held_out += _by_site(roster, settings.left_out_sites, "folds.left_out_sites")
    folds = []
    for number, (site, test) in enumerate(held_out):
        train, validation = _validation(roster, sorted(set(labels) - set(test)), settings.validation_fraction, number)
        folds.append(FoldSides(str(number), train, validation, tuple(sorted(test)), site))
    table = FoldTable(
        classes=tuple(classes),
        labels=labels,
        folds=tuple(folds),
        scheme=settings.scheme,
        repeats=settings.repeats,
        left_out_sites=settings.left_out_sites,
        excluded=excluded,
        groups=roster.groups,
        stratified_on=("label", "site") if _sites_allow(sites, settings) else ("label",),
        permuted=permute_labels,
        notes=tuple(_notes(folds, labels, classes)),
        second=second,
        mixed={name: patient.mixed for name, patient in eligible.items() if patient.mixed},
        people={
            name: patient.person
            for name, patient in eligible.items()
            if patient.person is not None and patient.person != name
        },
    )
    assert_disjoint(table)
    return table


def exchange_labels(labels: Mapping[str, int], groups: Mapping[str, str], seed: int) -> dict[str, str]:
    """Choose at random for each case the one whose label it gets.

    Parameters
    ----------
    labels
        Case to class index.
    groups
        Case to group. Whole groups exchange labels; in a larger one, the labels of a smaller one are repeated.
    seed
        Decides the order.
    """
    members = _members(labels, groups)
    order = sorted(members.values(), key=lambda names: draw(seed, "permuted labels", names[0]))
    return {
        name: others[place % len(others)]
        for names, others in zip(members.values(), order, strict=True)
        for place, name in enumerate(names)
    }


@dataclass(frozen=True, slots=True)
class _Roster:
    """Label, site and group of every eligible patient, the number of classes, and the seed."""

    labels: dict[str, int]
    sites: dict[str, str]
    groups: dict[str, str]
    classes: int
    seed: int

    def together(self, names: Iterable[str]) -> list[PatientGroup]:
        """Join patients of one group; every other patient is a group alone."""
        all_sites = sorted(set(self.sites.values()))
        groups = []
        for patients in _members(sorted(names), self.groups).values():
            counts = Counter(self.labels[name] for name in patients)
            strata = Counter((self.labels[name], self.sites[name]) for name in patients)
            groups.append(
                PatientGroup(
                    patients=tuple(patients),
                    labels=tuple(counts[index] for index in range(self.classes)),
                    strata=tuple(strata[index, site] for index in range(self.classes) for site in all_sites),
                )
            )
        return groups


def _members(names: Iterable[str], groups: Mapping[str, str]) -> dict[tuple[str, str], list[str]]:
    """Collect the patients of each group; every other patient is a group alone."""
    return grouped((("group", groups[name]) if name in groups else ("", name), name) for name in names)


def _check_ids(patients: Sequence[PatientRow]) -> None:
    repeated = [name for name, count in Counter(patient.id for patient in patients).items() if count > 1]
    if repeated:
        raise NephroscaleError(f"Patients are named twice: {', '.join(sorted(repeated))}.", where="folds")


def _labels(
    eligible: Mapping[str, PatientRow], classes: Sequence[str], min_per_class: int, n_excluded: int
) -> dict[str, int]:
    unknown = sorted({str(patient.label) for patient in eligible.values()} - set(classes))
    if unknown:
        raise NephroscaleError(
            f"Labels of eligible patients are not classes: {', '.join(unknown)}.",
            where="folds",
            fix="Map them in task.classes.",
        )
    labels = {name: classes.index(str(patient.label)) for name, patient in eligible.items()}
    counts = Counter(labels.values())
    if any(counts[index] < min_per_class for index in range(len(classes))):
        raise NephroscaleError(
            "Too few eligible patients: "
            + ", ".join(f"{name} {counts[index]}" for index, name in enumerate(classes))
            + f"; every class needs at least {min_per_class} (task.min_per_class).",
            where=f"folds, after the exclusion of {n_excluded} patient{'s' * (n_excluded != 1)}",
            fix="Look up the reasons for exclusion; add patients, or map rare labels to `exclude`.",
        )
    return labels


def _stratified(roster: _Roster, n_folds: int, repeat: int) -> list[list[str]]:
    """Divide the patients into folds: another division for each repeat."""
    groups = roster.together(roster.labels)
    if len(groups) < n_folds:
        raise NephroscaleError(
            f"{len(roster.labels)} eligible patients in {len(groups)} separable groups cannot make {n_folds} folds.",
            where="folds.n_folds",
            fix=f"Set folds.n_folds to {len(groups)} or less.",
        )
    divided = divide(groups, [Subset(1)] * n_folds, roster.seed, f"folds of repeat {repeat}" if repeat else "folds")
    return [[name for group in subset for name in group.patients] for subset in divided]


def _by_site(roster: _Roster, number: int, key: str) -> list[tuple[str | None, list[str]]]:
    """Make a fold of each site; `number` is what the configuration states under `key`."""
    sites, groups = roster.sites, roster.groups
    without = [name for name, site in sites.items() if not site]
    if without:
        raise NephroscaleError(
            f"Leaving one site out needs the site of every eligible patient; {', '.join(without)} have none.",
            where=key,
            fix="Fill the column site, or use the scheme `stratified` without folds.left_out_sites.",
        )
    all_sites = sorted(set(sites.values()))
    if len(all_sites) != number:
        raise NephroscaleError(
            f"There are {len(all_sites)} sites with eligible patients ({', '.join(all_sites)}), but {key} is {number}.",
            where=key,
            fix="To leave one site out, both numbers have to be equal (and at least 2).",
        )
    sites_of_group = grouped((group, sites[name]) for name, group in groups.items())
    spread = sorted(group for group, found in sites_of_group.items() if len(set(found)) > 1)
    if spread:
        raise NephroscaleError(
            f"The groups {', '.join(spread)} have patients at several sites, so no site can be held out alone.",
            where=key,
            fix="Exclude patients until each group is at one site, or leave no site out.",
        )
    return [(site, [name for name in sites if sites[name] == site]) for site in all_sites]


def _validation(
    roster: _Roster, rest: Sequence[str], fraction: float, number: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Divide the patients of a fold that are not tested into training and validation."""
    groups = roster.together(rest)
    if len(groups) < 2:
        raise NephroscaleError(
            f"The training side of fold {number} has {len(rest)} patients in {len(groups)} group, "
            "which leaves none for validation.",
            where="folds",
            fix="Take fewer folds, or add patients.",
        )
    exact = Fraction(fraction).limit_denominator(1_000_000)
    # Validation that takes the last patient of a class from training is worse than validation without that class.
    held_out, kept = divide(
        groups,
        [Subset(exact.numerator, monopoly_cost=2), Subset(exact.denominator - exact.numerator, monopoly_cost=1)],
        roster.seed,
        f"validation of fold {number}",
    )
    return _ids(kept), _ids(held_out)


def _ids(groups: Iterable[PatientGroup]) -> tuple[str, ...]:
    return tuple(sorted(name for group in groups for name in group.patients))


def _sites_allow(sites: Mapping[str, str], settings: FoldsSettings) -> bool:
    """Whether folds can be stratified on sites: several, known for all patients, with patients for every fold."""
    counts = Counter(sites.values())
    fewest = settings.n_folds if settings.scheme == "stratified" else 1
    return len(counts) > 1 and "" not in counts and min(counts.values()) >= fewest


def _notes(folds: Sequence[FoldSides], labels: Mapping[str, int], classes: Sequence[str]) -> list[str]:
    present = ((fold.name, side, {labels[name] for name in fold.side(side)}) for fold in folds for side in SIDES)
    return [
        f"fold {fold}: no {' or '.join(absent)} on the {side} side"
        for fold, side, there in present
        if (absent := [name for index, name in enumerate(classes) if index not in there])
    ]
