"""Writing the audit of a results folder."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import orjson

from nephroscale.errors import NephroscaleError
from nephroscale.memory import collect_seldom
from nephroscale.provenance.crate import write_crate
from nephroscale.provenance.cross_machine import compare_elsewhere
from nephroscale.provenance.document import count_states, make_document
from nephroscale.provenance.graph import read_graph
from nephroscale.provenance.record_index import RecordIndex
from nephroscale.store.receipts import Receipt, settle_receipt

if TYPE_CHECKING:
    from pathlib import Path

    from nephroscale.engine.plan import Plan


def write_audit(plan: Plan, out: Path) -> dict[str, Any]:
    """Write the audit from receipts and records alone.

    Parameters
    ----------
    plan
        Of the results folder.
    out
        Folder to make: ``audit.json`` (see :func:`nephroscale.provenance.document.make_document`), ``index.html`` (see
        :func:`nephroscale.provenance.page.render_page`), and a crate about these and all artifacts (see
        :func:`nephroscale.provenance.crate.write_crate`).

    Returns
    -------
    dict
        ``artifacts``, how many are in each state, and ``conflicts``.
    """
    collect_seldom()
    index = RecordIndex(plan.records, whole=True)
    graph = read_graph(plan, plan.stages_before("audit"), index)
    document = make_document(plan, graph, compare_elsewhere(plan.store, graph, index))
    out.mkdir(parents=True)
    (out / "audit.json").write_bytes(lines_json(document))
    # The page and the crate take about as long as each other; the crate lists the page among its files.
    command = [sys.executable, "-m", "nephroscale.provenance.page", str(out / "audit.json"), str(out / "index.html")]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(plan.scripts)}) as page:  # noqa: S603
        write_crate(document, plan.scripts.parent / "workflow", out, ready=page.wait)
    if page.returncode:
        raise subprocess.CalledProcessError(page.returncode, command)
    return {
        "artifacts": len(document["artifacts"]),
        "states": count_states(document),
        "conflicts": len(document["conflicts"]),
    }


def lines_json(document: dict[str, Any]) -> bytes:
    """Encode a document with one line for each member of each of its lists; equal documents, equal text.

    Indenting every value would take most of the time of an audit of 100,000 artifacts, and triple the file; so it is
    still read by eye, ``grep`` and ``diff``.
    """
    lines = [_encode(key) + b": " + _lines(document[key]) for key in sorted(document)]
    return b"{\n" + b",\n".join(lines) + b"\n}\n"


def _encode(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _lines(value: Any) -> bytes:
    if not isinstance(value, list) or not value:
        return _encode(value)
    return b"[\n" + b",\n".join(map(_encode, value)) + b"\n]"


def publish_audit(plan: Plan) -> Receipt:
    """Write the audit of a results folder as it lies there, half done or stale as it may be, outside of any run.

    Returns
    -------
    Receipt
        Beside the link ``results/audit``, as the stage `audit` leaves them.

    Raises
    ------
    NephroscaleError
        When nothing was made yet.
    """
    if not any(plan.receipt(stage, unit) for stage in plan.stages_before("audit") for unit in plan.units(stage)):
        raise NephroscaleError(
            "There is nothing to audit: no artifact of this configuration was made yet.",
            where=str(plan.results),
            todo="Run the workflow first, or name another configuration by --configfile.",
        )
    with plan.store.scratch() as scratch:
        figures = write_audit(plan, scratch / "out")
        published = plan.store.publish(scratch / "out")
    receipt = Receipt("audit", "cohort", "accepted", figures=figures, **published._asdict())
    settle_receipt(plan.receipt_path("audit", "cohort"), plan.link_path("audit", "cohort"), receipt, plan.store)
    return receipt
