"""The ledger of the external patients: when they were first opened, by the digest of their labels and images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from nephroscale.engine.stage import PlanView
from nephroscale.errors import NephroscaleError
from nephroscale.store.digest import digest_json

LEDGER = "external_opened.json"
"""Name of the ledger, beside the table of patients."""


class Opening(NamedTuple):
    """When external patients were opened, and how many configurations this store had scored on them before."""

    when: str
    before: int


def external_patients(plan: PlanView) -> list[str]:
    """The external patients that take part, in the order of their ids."""
    return [patient for patient in plan.patients if plan.cohort.patients[patient].use == "external"]


def external_digest(plan: PlanView) -> str | None:
    """Digest of the labels and images of the external patients; None before all are registered."""
    rows = []
    for name in external_patients(plan):
        receipt, case = plan.receipt("register", name), plan.cohort.patients[name]
        if receipt is None:
            return None
        rows.append([case.label, case.second, receipt.digest])
    return digest_json(sorted(rows, key=str)) if rows else None


def ledger_path(plan: PlanView) -> Path:
    """The file of the ledger."""
    return Path(plan.config.data.patients).parent / LEDGER


def read_opening(plan: PlanView) -> Opening | None:
    """Read when these labels and images were opened; None where the ledger, or its entry, is not there."""
    entry = _read(ledger_path(plan)).get(external_digest(plan) or "")
    return Opening(str(entry["opened"]), int(entry["configurations_before"])) if entry else None


def describe_opening(plan: PlanView) -> str | None:
    """Describe for the report whether external patients were scored before; None without external patients."""
    if not external_patients(plan):
        return None
    found = read_opening(plan)
    if found is None:
        text = "unknown whether these patients were scored before: no entry fits their labels and images"
        locked = plan.config.predict.external == "locked"
        return text + ("; they are locked, and not predicted in this report" if locked else "")
    if found.before:
        return f"opened on {found.when[:10]}, after {found.before} configurations had been scored on them"
    return f"first opened on {found.when[:10]}"


def open_external(plan: PlanView, when: str, before: int) -> tuple[Opening, bool]:
    """Enter the external patients into the ledger; an earlier entry stays.

    Parameters
    ----------
    plan
        The plan.
    when
        Time of now.
    before
        Number of configurations that were ever scored on them.

    Returns
    -------
    tuple
        The entry, and whether it is new.

    Raises
    ------
    NephroscaleError
        When there are no external patients, or not all of them are registered.
    """
    if not external_patients(plan):
        raise NephroscaleError(
            "There are no external patients.", where="table of patients", fix="Give them `use: external`."
        )
    digest = external_digest(plan)
    if digest is None:
        raise NephroscaleError(
            "Not all external patients are registered.", where="register", fix="Run the target `register` first."
        )
    if found := read_opening(plan):
        return found, False
    path = ledger_path(plan)
    path.write_text(
        json.dumps(_read(path) | {digest: {"opened": when, "configurations_before": before}}, indent=2, sort_keys=True)
        + "\n",
        encoding="utf-8",
    )
    return Opening(when, before), True


def _read(path: Path) -> dict[str, dict[str, str | int]]:
    if not path.is_file():
        return {}
    try:
        entries: dict[str, dict[str, str | int]] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise NephroscaleError("This file is damaged.", where=str(path), fix="Restore it from a backup.") from error
    return entries
