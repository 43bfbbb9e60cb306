"""Names of batches of new patients, remembered by the digest of their two tables.

The store keeps them in ``batches/<digest of the tables>.json``, so that equal tables have the same name on every day.
"""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING

from nephroscale.errors import NephroscaleError
from nephroscale.store.digest import digest_file, digest_json
from nephroscale.store.records import now

if TYPE_CHECKING:
    from pathlib import Path

    from nephroscale.engine.plan import Plan
    from nephroscale.store.objects import Store

FOLDER = "batches"
STAGE = "predict"
STAGES_OF_BATCHES = (STAGE, "new_deposits", "new_cases")
"""Stages with units of batches, which stay."""


def batch_name(plan: Plan) -> str:
    """Name the batch of new patients of a plan; nothing is written.

    Returns
    -------
    str
        `predict.name`, or the name that these tables have had before, or the present date (UTC), with ``-2``, ``-3`` if
        another batch has that date.

    Raises
    ------
    NephroscaleError
        When a table cannot be read, or other tables have been predicted under `predict.name`.
    """
    names = names_of_batches(plan.store)
    own, chosen = names.pop(_path(plan), None), plan.config.predict.name
    others = set(names.values())
    if chosen:
        if chosen in others and next(plan.results.glob(f"{STAGE}/*/{chosen}.json"), None):
            receipts = plan.receipt_path(STAGE, f"*/{chosen}")
            raise NephroscaleError(
                f"The name {chosen} belongs to another batch, whose tables are not these.",
                where="configuration, predict.name",
                fix=f"Choose another name. To replace that batch, delete {receipts} first.",
            )
        return chosen
    if own:
        return own
    date = now()[:10]
    taken = others | {path.stem for path in plan.results.glob(f"{STAGE}/*/*.json")}
    dated = (date if number == 1 else f"{date}-{number}" for number in count(1))
    return next(name for name in dated if name not in taken)


def remember_batch(plan: Plan) -> None:
    """Remember the name of a plan's batch, if it has new patients, for all later runs with the same tables."""
    if not plan.new_patients:
        return
    path, text = _path(plan), json.dumps({"name": plan.batch}) + "\n"
    for other, name in names_of_batches(plan.store).items():
        if name == plan.batch and other != path:  # replaced by this one
            other.unlink(missing_ok=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        plan.store.write_text(path, text)


def names_of_batches(store: Store) -> dict[Path, str]:
    """Read the names of all batches, by the file that remembers each."""
    return {path: str(json.loads(path.read_bytes())["name"]) for path in sorted(store.path.glob(f"{FOLDER}/*.json"))}


def describe_batches(plan: Plan) -> list[str]:
    """Write the lines that give the place of each table of predictions: first of this batch, then of others."""
    lines, others = [], []
    for receipt in sorted(plan.results.glob(f"{STAGE}/*/*.json")):
        model, name = receipt.parent.name, receipt.stem
        made = plan.receipt(STAGE, f"{model}/{name}")
        if name == "external" or made is None or not made.accepted:
            continue
        if plan.new_patients and name == plan.batch:
            table = plan.link_path(STAGE, f"{model}/{name}") / "predictions.csv"
            lines.append(f"Predictions of batch {name} by {model}: {table}")
            pages = plan.receipt("new_cases", f"{model}/{name}")
            if pages and pages.accepted:
                page = plan.link_path("new_cases", f"{model}/{name}") / "index.html"
                lines.append(f"Pages of its cases: {page}")
        else:
            others.append(str(plan.link_path(STAGE, f"{model}/{name}")))
    return lines + ([f"Other batches: {', '.join(sorted(others))}"] if others else [])


def _path(plan: Plan) -> Path:
    predict = plan.config.predict
    tables = digest_json([digest_file(str(predict.patients)), digest_file(str(predict.images))])
    return plan.store.path / FOLDER / f"{tables}.json"
