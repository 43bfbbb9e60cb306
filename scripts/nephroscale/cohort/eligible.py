"""From patients and their bags to folds, and from folds back to bags."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from nephroscale.cohort.folds import make_folds
from nephroscale.cohort.split_checks import assert_disjoint
from nephroscale.store.digest import digest_json, pretty_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


class BagReceipt(Protocol):
    """What is read of a receipt here: its stage, and its unit ``<patient>-<modality>``."""

    @property
    def stage(self) -> str:
        """Name of the stage."""

    @property
    def unit(self) -> str:
        """Name of the unit."""


def write_folds(
    rows: list[dict[str, Any]], missing: dict[str, str | None], settings: dict[str, Any], seed: int, out: Path
) -> tuple[dict[str, Any], dict[str, str]]:
    """Write ``folds.json`` for the patients who have every bag that the models need.

    Parameters
    ----------
    rows
        Of each patient to diagnose, and of those that the tables leave out, as
        :meth:`nephroscale.cohort.members.Patient.row` gives them.
    missing
        Unit ``<patient>-<modality>`` of each bag that was rejected, and why.
    settings
        ``folds`` (section of the configuration), ``classes``, ``minimum_per_class``, ``permute_labels``, ``meanings``
        (text of the label column to what it means) ``mixed`` (``task.mixed``),
        ``missing_modalities`` (``exclude`` or ``mask``) and ``modalities`` (those that any model reads).
    seed
        Of the division.
    out
        Folder to make.

    Returns
    -------
    figures
        Patients by class, who is left out, those whose label lies between two classes, and who lacks what and takes
        part all the same.
    parts
        ``fold<n>`` for all of a fold, ``fold<n>.train`` for its training and validation side alone.
    """
    reasons, lacking = _sort_missing(missing, settings)
    patients = [
        {**row, "eligible": False, "reason": reasons[row["id"]]} if row["eligible"] and row["id"] in reasons else row
        for row in rows
    ]
    table = make_folds(
        patients,
        settings["classes"],
        settings["folds"],
        seed,
        minimum_per_class=settings["minimum_per_class"],
        permute_labels=settings["permute_labels"],
    )
    table["texts"] = _count_texts(rows, set(table["labels"]), settings)
    table["lacking"] = {patient: lacking[patient] for patient in table["labels"] if patient in lacking}
    table["mixed"] = {"policy": settings["mixed"], "patients": table["mixed"]}
    out.mkdir()
    (out / "folds.json").write_text(pretty_json(table), encoding="utf-8")
    labels = table["labels"]
    counts = {name: sum(v == k for v in labels.values()) for k, name in enumerate(table["classes"])}
    targets: dict[str, Any] = {p: [k, table["second"][p]] if p in table["second"] else k for p, k in labels.items()}
    parts = {}
    for fold in table["folds"]:
        sides = {side: {p: targets[p] for p in fold[side]} for side in ("train", "validation", "test")}
        parts[f"fold{fold['name']}"] = digest_json([table["classes"], sides])
        parts[f"fold{fold['name']}.train"] = digest_json([table["classes"], sides["train"], sides["validation"]])
    between = {"mixed": table["mixed"]} if table["mixed"]["patients"] else {}
    incomplete = {"lacking": table["lacking"]} if table["lacking"] else {}
    return {"patients": counts, "excluded": table["excluded"], **between, **incomplete}, parts


def _sort_missing(
    missing: dict[str, str | None], settings: dict[str, Any]
) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Tell who is excluded for want of a bag, and why, from who takes part without it (modality to reason)."""
    lacking: dict[str, dict[str, str]] = {}
    for unit, reason in sorted(missing.items()):
        patient, _, modality = unit.rpartition("-")
        lacking.setdefault(patient, {})[modality] = reason or "no reason given"
    if settings.get("missing_modalities", "exclude") == "exclude":
        taking_part = {}
    else:
        taking_part = {p: lacks for p, lacks in lacking.items() if len(lacks) < len(settings["modalities"])}
    reasons = {}
    for patient, lacks in lacking.items():
        if patient not in taking_part:
            modality, reason = next(iter(lacks.items()))
            reasons[patient] = f"no {modality}: {reason}"
    return reasons, taking_part


def _count_texts(rows: list[dict[str, Any]], included: set[str], settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Count for each text of the label column the patients who bear it, and their cases that came into the folds."""
    texts = {row["id"]: row.get("text") or "" for row in rows}
    people = {row["id"]: row.get("person") or row["id"] for row in rows}
    found = []
    for text in sorted(set(texts.values())):
        bearers = [patient for patient, its in texts.items() if its == text]
        meaning = settings["meanings"].get(text)
        words = " or ".join(meaning) + f" ({settings['mixed']})" if isinstance(meaning, list) else meaning
        entry = {"text": text, "meaning": words, "patients": len({people[case] for case in bearers})}
        found.append({**entry, "in_folds": sum(patient in included for patient in bearers)})
    return found


def read_folds(folder: Path | None) -> dict[str, Any]:
    """Read ``folds.json`` and assert again that each patient is on one side."""
    assert folder is not None
    table = json.loads((folder / "folds.json").read_text(encoding="utf-8"))
    assert_disjoint(table)
    return table


def bags_by_patient(
    receipts: Iterable[BagReceipt], find: Callable[[str, str], Path | None]
) -> dict[str, dict[str, Path]]:
    """Sort the receipts of `features` by patient and modality.

    Returns
    -------
    dict
        Patient to modality to the bag's folder.
    """
    found: dict[str, dict[str, Path]] = {}
    for receipt in receipts:
        if receipt.stage == "features" and (path := find("features", receipt.unit)):
            patient, _, modality = receipt.unit.rpartition("-")
            found.setdefault(patient, {})[modality] = path
    return found
