"""Patient-level folds: stratified, grouped, deterministic."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from nephroscale.cohort.split_checks import SIDES, assert_disjoint
from nephroscale.cohort.stratified_groups import Part, Unit, divide, draw
from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["assert_disjoint", "make_folds"]


def make_folds(
    patients: list[dict[str, Any]],
    classes: list[str],
    settings: dict[str, Any],
    seed: int,
    *,
    minimum_per_class: int,
    permute_labels: int | None,
) -> dict[str, Any]:
    """Divide patients into folds, each with a training, a validation and a test side.

    Every eligible patient is tested in exactly one fold. Patients of one group stay on one side. Classes, and sites
    within classes where counts allow, are spread evenly over the folds' test sides, and likewise between training and
    validation; wherever the numbers allow, every side has every class. The result depends on the seed, and not on the
    order of the patients.

    Parameters
    ----------
    patients
        ``{"id", "label", "group", "site", "eligible", "reason"}`` each; group, site and reason may be None or absent.
        Also ``text`` (the label as the records have it), ``mixed`` (the two classes that it lies between), ``second``
        (the class that the patient is by half, beside ``label``), ``person`` (whose case it is), where there is one.
    classes
        Names of the classes in their order.
    settings
        The section ``folds`` of the configuration: ``scheme``, ``count``, ``validation``.
    seed
        Decides between equally good divisions.
    minimum_per_class
        Fewer eligible patients in a class are an error.
    permute_labels
        Seed of a random permutation of the labels among the eligible patients, made before the folds; None for none.

    Returns
    -------
    dict
        ``classes``; ``labels`` (patient to class index, permuted if so wished); ``excluded`` (patient to reason);
        ``scheme``; ``folds`` (``name``, ``train``, ``validation``, ``test``, ids sorted; with leave_one_site_out also
        ``site``); ``groups`` (patient to group, of groups of two and more); ``stratified_on`` (``["label"]`` or
        ``["label", "site"]``); ``permuted`` (the seed or None); ``notes`` (what the numbers did not allow);
        ``second`` (patient to the class index that it is by half); ``mixed`` (patient to the classes it lies between);
        ``people`` (case to patient, of patients with several biopsies).

    Raises
    ------
    NephroscaleError
        Too few patients in a class, fewer units than folds, sites that do not fit leave_one_site_out.
    """
    _check_ids(patients)
    eligible = {patient["id"]: patient for patient in sorted(patients, key=lambda p: p["id"]) if patient["eligible"]}
    excluded = {p["id"]: p.get("reason") or "not eligible" for p in patients if not p["eligible"]}
    labels = _labels(eligible, classes, minimum_per_class, excluded)
    second = {name: classes.index(other) for name, patient in eligible.items() if (other := patient.get("second"))}
    if permute_labels is not None:  # a patient's label goes to another patient with all that it says
        source = dict(
            zip(labels, sorted(labels, key=lambda n: draw(permute_labels, "permuted labels", n)), strict=True)
        )
        second = {name: second[other] for name, other in source.items() if other in second}
        labels = {name: labels[other] for name, other in source.items()}
    sites = {name: patient.get("site") or "" for name, patient in eligible.items()}
    roster = _Roster(labels, sites, _groups(eligible), len(classes), seed)
    if settings["scheme"] == "leave_one_site_out":
        named = _by_site(roster, settings["count"])
    else:
        named = _stratified(roster, settings["count"])
    folds = []
    for number, (extra, test) in enumerate(named):
        rest = sorted(set(labels) - set(test))
        train, validation = _validation(roster, rest, settings["validation"], number)
        folds.append({"name": str(number), "train": train, "validation": validation, "test": sorted(test), **extra})
    table = {
        "classes": list(classes),
        "labels": labels,
        "excluded": dict(sorted(excluded.items())),
        "scheme": settings["scheme"],
        "folds": folds,
        "groups": roster.groups,
        "stratified_on": ["label", "site"] if _sites_allow(sites, settings) else ["label"],
        "permuted": permute_labels,
        "notes": _notes(folds, labels, classes),
        "second": second,
        "mixed": {name: list(patient["mixed"]) for name, patient in eligible.items() if patient.get("mixed")},
        "people": {
            name: person for name, patient in eligible.items() if (person := patient.get("person") or name) != name
        },
    }
    assert_disjoint(table)
    return table


@dataclass(frozen=True, slots=True)
class _Roster:
    """Label, site and group of every eligible patient, the number of classes, and the seed."""

    labels: dict[str, int]
    sites: dict[str, str]
    groups: dict[str, str]
    classes: int
    seed: int

    def units(self, names: Iterable[str]) -> list[Unit]:
        """Join the patients of a group into one unit each."""
        members: dict[tuple[str, str], list[str]] = {}
        for name in sorted(names):
            members.setdefault(("group", self.groups[name]) if name in self.groups else ("", name), []).append(name)
        everywhere = sorted(set(self.sites.values()))
        units = []
        for together in members.values():
            counts = Counter(self.labels[name] for name in together)
            strata = Counter((self.labels[name], self.sites[name]) for name in together)
            units.append(
                Unit(
                    patients=tuple(together),
                    labels=tuple(counts[index] for index in range(self.classes)),
                    strata=tuple(strata[index, site] for index in range(self.classes) for site in everywhere),
                )
            )
        return units


def _check_ids(patients: list[dict[str, Any]]) -> None:
    twice = [name for name, count in Counter(patient["id"] for patient in patients).items() if count > 1]
    if twice:
        raise NephroscaleError(f"Patients are named twice: {', '.join(sorted(twice))}.", where="folds")


def _labels(
    eligible: dict[str, dict[str, Any]],
    classes: Sequence[str],
    minimum: int,
    excluded: dict[str, str],
) -> dict[str, int]:
    unknown = sorted({str(patient["label"]) for patient in eligible.values()} - set(classes))
    if unknown:
        raise NephroscaleError(
            f"Eligible patients have labels that are no classes: {', '.join(unknown)}.",
            where="folds",
            todo="Map them in task.classes.",
        )
    labels = {name: classes.index(patient["label"]) for name, patient in eligible.items()}
    counts = Counter(labels.values())
    if any(counts[index] < minimum for index in range(len(classes))):
        raise NephroscaleError(
            "Too few eligible patients: "
            + ", ".join(f"{name} {counts[index]}" for index, name in enumerate(classes))
            + f"; every class needs at least {minimum} (task.minimum_per_class).",
            where=f"folds, after leaving out {len(excluded)} patients",
            todo="See which patients were left out and why; add patients, or map rare labels to `exclude`.",
        )
    return labels


def _groups(eligible: dict[str, dict[str, Any]]) -> dict[str, str]:
    sizes = Counter(patient.get("group") for patient in eligible.values())
    return {
        name: patient["group"]
        for name, patient in eligible.items()
        if patient.get("group") and sizes[patient["group"]] > 1
    }


def _stratified(roster: _Roster, count: int) -> list[tuple[dict[str, str], list[str]]]:
    units = roster.units(roster.labels)
    if len(units) < count:
        raise NephroscaleError(
            f"{len(roster.labels)} eligible patients, of whom {len(units)} can be parted, cannot make {count} folds.",
            where="folds.count",
            todo=f"Set folds.count to {len(units)} or less.",
        )
    parts = divide(units, [Part(1)] * count, roster.seed, "folds")
    return [({}, [name for unit in part for name in unit.patients]) for part in parts]


def _by_site(roster: _Roster, count: int) -> list[tuple[dict[str, str], list[str]]]:
    sites, groups = roster.sites, roster.groups
    nowhere = [name for name, site in sites.items() if not site]
    if nowhere:
        raise NephroscaleError(
            f"leave_one_site_out needs the site of every eligible patient; {', '.join(nowhere)} have none.",
            where="folds.scheme",
            todo="Fill the column site, or use the scheme `stratified`.",
        )
    everywhere = sorted(set(sites.values()))
    if len(everywhere) != count:
        raise NephroscaleError(
            f"There are {len(everywhere)} sites with eligible patients ({', '.join(everywhere)}), "
            f"but folds.count is {count}.",
            where="folds.count",
            todo="With leave_one_site_out they have to be the same (and at least 2).",
        )
    places: dict[str, set[str]] = {}
    for name, group in groups.items():
        places.setdefault(group, set()).add(sites[name])
    spread = sorted(group for group, found in places.items() if len(found) > 1)
    if spread:
        raise NephroscaleError(
            f"The groups {', '.join(spread)} have patients at several sites, so no site can be left out alone.",
            where="folds.scheme",
            todo="Exclude patients until each group is at one site, or use the scheme `stratified`.",
        )
    return [({"site": site}, [name for name in sites if sites[name] == site]) for site in everywhere]


def _validation(roster: _Roster, rest: Sequence[str], share: float, number: int) -> tuple[list[str], list[str]]:
    """Divide a fold's training side into what trains and what is held out."""
    units = roster.units(rest)
    if len(units) < 2:
        raise NephroscaleError(
            f"The training side of fold {number} has {len(rest)} patients in {len(units)} group, "
            "which leaves none for validation.",
            where="folds",
            todo="Take fewer folds, or add patients.",
        )
    part = Fraction(share).limit_denominator(1_000_000)
    # Validation that takes the last patient of a class from training is worse than validation without that class.
    held_out, kept = divide(
        units,
        [Part(part.numerator, hoarding=2), Part(part.denominator - part.numerator, hoarding=1)],
        roster.seed,
        f"validation of fold {number}",
    )
    return _ids(kept), _ids(held_out)


def _ids(units: list[Unit]) -> list[str]:
    return sorted(name for unit in units for name in unit.patients)


def _sites_allow(sites: dict[str, str], settings: dict[str, Any]) -> bool:
    """Whether folds can stratify on sites: there are several, known for everybody, and each reaches every fold."""
    counts = Counter(sites.values())
    fewest = settings["count"] if settings["scheme"] == "stratified" else 1
    return len(counts) > 1 and "" not in counts and min(counts.values()) >= fewest


def _notes(folds: list[dict[str, Any]], labels: dict[str, int], classes: Sequence[str]) -> list[str]:
    notes = []
    for fold in folds:
        for side in SIDES:
            present = {labels[name] for name in fold[side]}
            if absent := [name for index, name in enumerate(classes) if index not in present]:
                notes.append(f"fold {fold['name']}: no {' or '.join(absent)} on the {side} side")
    return notes
