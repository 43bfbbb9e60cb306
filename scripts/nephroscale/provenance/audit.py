"""The audit of a results folder: a JSON document, a page and a crate."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict, cast

import orjson

from nephroscale.engine.plan import Plan
from nephroscale.errors import NephroscaleError
from nephroscale.json_text import JSON
from nephroscale.provenance.crate import write_crate
from nephroscale.provenance.cross_machine import compare_elsewhere
from nephroscale.provenance.document import count_states, make_document
from nephroscale.provenance.document_types import AuditDocument
from nephroscale.provenance.graph import read_graph
from nephroscale.provenance.record_index import RecordIndex
from nephroscale.store.receipts import Receipt, settle_receipt


class AuditFigures(TypedDict):
    """Numbers of artifacts: in all, in each state, and with conflicts."""

    artifacts: int
    states: dict[str, int]
    conflicts: int


def write_audit(plan: Plan, out: Path) -> AuditFigures:
    """Write the audit, which needs only receipts and records.

    Parameters
    ----------
    plan
        Of the results folder.
    out
        Folder to create, with ``audit.json`` (:func:`nephroscale.provenance.document.make_document`), ``index.html``
        (:func:`nephroscale.provenance.page.render_page`), and a crate that describes these and all artifacts
        (:func:`nephroscale.provenance.crate.write_crate`).

    Raises
    ------
    NephroscaleError
        When the page cannot be written; the message holds the error of the process that writes it.
    """
    index = RecordIndex(plan.records, whole=True)
    graph = read_graph(plan, plan.stages_before("audit"), index)
    document = make_document(plan, graph, compare_elsewhere(plan.store, graph, index))
    out.mkdir(parents=True)
    (out / "audit.json").write_bytes(lines_json(document))
    # Page and crate take equally long, so another process writes the page; the crate lists the page among its files.
    command = [sys.executable, "-m", "nephroscale.provenance.page", str(out / "audit.json"), str(out / "index.html")]
    # The project's folder of modules stands before those that the environment gives, such as a cluster's modules.
    paths = [str(plan.code.package.parent), os.environ.get("PYTHONPATH")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as page:  # noqa: S603
        write_crate(document, plan.workflow, out, wait_for_page=lambda: _wait(page))
    return {
        "artifacts": len(document["artifacts"]),
        "states": count_states(document),
        "conflicts": len(document["conflicts"]),
    }


def _wait(page: subprocess.Popen[str]) -> None:
    """Wait for the process that writes the page, and report its error."""
    _, error = page.communicate()
    if page.returncode:
        raise NephroscaleError(
            f"The audit's page was not written (exit status {page.returncode}):\n{error.rstrip()}",
            where="nephroscale.provenance.page",
        )
    sys.stderr.write(error)


def lines_json(document: AuditDocument) -> bytes:
    """Encode a document with one line per member of each list, to be read by eye, ``grep`` and ``diff``.

    Equal documents give equal text.
    """
    return (
        b"{\n"
        + b",\n".join([_encode(key) + b": " + _lines(value) for key, value in sorted(document.items())])
        + b"\n}\n"
    )


def _encode(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _lines(value: object) -> bytes:
    if not isinstance(value, list) or not value:
        return _encode(value)
    return b"[\n" + b",\n".join(map(_encode, value)) + b"\n]"


def publish_audit(plan: Plan) -> AuditFigures:
    """Write the audit of a results folder in its present state, complete or not, outside of any run.

    The receipt and the link ``results/audit`` are written as by the stage `audit`.

    Raises
    ------
    NephroscaleError
        When no artifact was made yet.
    """
    check_made(plan)
    with plan.store.scratch() as scratch:
        figures = write_audit(plan, scratch / "out")
        published = plan.store.publish(scratch / "out")
    receipt = Receipt("audit", "cohort", "accepted", figures=cast("Mapping[str, JSON]", figures), **published._asdict())
    settle_receipt(plan.receipt_path("audit", "cohort"), plan.link_path("audit", "cohort"), receipt, plan.store)
    return figures


def check_made(plan: Plan) -> None:
    """Refuse to audit a results folder without artifacts."""
    if not any(plan.receipt(stage, unit) for stage in plan.stages_before("audit") for unit in plan.units(stage)):
        raise NephroscaleError(
            "There is nothing to audit: no artifact of this configuration was made yet.",
            where=str(plan.results),
            fix="Run the workflow first, or name another configuration with --configfile.",
        )
