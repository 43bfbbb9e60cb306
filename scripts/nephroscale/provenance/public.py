"""An audit to hand on: without ids of patients and images, names of files, paths, table rows and names of machines."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from nephroscale.cohort.cohort import Cohort
from nephroscale.engine.batches import STAGES_OF_BATCHES
from nephroscale.engine.plan import Plan
from nephroscale.errors import NephroscaleError
from nephroscale.json_text import JSON
from nephroscale.provenance.audit import check_made, lines_json
from nephroscale.provenance.document import make_document
from nephroscale.provenance.document_types import AuditDocument
from nephroscale.provenance.graph import read_graph
from nephroscale.provenance.page import render_page
from nephroscale.provenance.record_index import RecordIndex

PATH = re.compile(r"(?<![\w.<])(?:[A-Za-z]:[\\/]|\\\\|~?/|\.\.?/)[^\s,;:'\")]+")
RELATIVE = re.compile(r"\S*[/\\]\S*\.\w+")
SETTINGS_WITH_PATHS = ("h5_folder", "reference_file", "weights")
TABLE = "table of patients"
FREE_TEXT = ("name", "unit", "reason", "because", "figures", "inputs", "repeats")
FIGURES = ("classes", "comparisons", "format", "headline", "level", "models")


def write_public_audit(plan: Plan, out: Path) -> None:
    """Write `audit.json` and `index.html` to hand on, without what could identify a patient or a machine.

    Raises
    ------
    NephroscaleError
        When the folder exists, or no artifact was made yet.
    """
    if out.exists():
        raise NephroscaleError("This folder exists.", where=str(out), fix="Name a new folder.")
    check_made(plan)
    document = make_public(
        make_document(plan, read_graph(plan, plan.stages_before("audit"), RecordIndex(plan.records, whole=True))),
        name_anew(plan.cohort),
        {case.id for case in plan.cohort.patients.values() if case.reason and case.status != "eligible"},
    )
    out.mkdir(parents=True)
    (out / "audit.json").write_bytes(lines_json(document))
    (out / "index.html").write_text(render_page(document), encoding="utf-8")


def name_anew(cohort: Cohort) -> dict[str, str]:
    """Replace the names of cases, patients, images and files by numbers, in an order that is random in each call."""
    shuffled = list(cohort.patients.values())
    random.SystemRandom().shuffle(shuffled)
    cases = {case.id: f"case{number:04d}" for number, case in enumerate(shuffled, 1)}
    people = {case.person: f"patient{cases[case.id][4:]}" for case in shuffled if case.person}
    counts: Counter[tuple[str, str]] = Counter()
    names: dict[str, str] = {}
    for name, image in sorted(cohort.images.items()):
        counts[image.patient_id, image.modality] += 1
        new = f"{cases[image.patient_id]}-{image.modality}{counts[image.patient_id, image.modality]}"
        files = [path for path in (image.path, image.annotation, image.deposit_outlines) if path]
        names |= {word: new for path in files for word in (path.name, path.stem)} | {name: new}
    for number, name in enumerate(cohort.negatives, 1):
        names.setdefault(name, f"negative{number:04d}")
    return names | people | cases  # a file may have the name of its case


def replacer(names: Mapping[str, str]) -> Callable[[str], str]:
    """Make the function that puts new names and `<path>` into a text; the longest name is found first."""
    words = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True) if name)
    known = re.compile(rf"(?<![A-Za-z0-9])(?:{words})(?![A-Za-z0-9])") if words else None

    def replace(text: str) -> str:
        return PATH.sub("<path>", known.sub(lambda match: names[match[0]], text) if known else text)

    return replace


def make_public(document: AuditDocument, names: Mapping[str, str], written: Collection[str] = ()) -> AuditDocument:
    """Copy the document of an audit without what could identify a patient or a machine.

    Digests, settings, versions, times and figures stay. Artifacts and their inputs are in the order of the new names,
    since the former order is that of the ids.

    Parameters
    ----------
    document
        The audit (:func:`nephroscale.provenance.document.make_document`).
    names
        Ids and names of files to new names (:func:`name_anew`).
    written
        Cases that the table of patients excludes; their reasons may be a person's words.
    """
    content: Any = _without_words_of_the_table(document, written)
    replace = replacer(dict.fromkeys(_batches(document), "batch") | dict(names))
    content["artifacts"] = [
        {
            **artifact,
            **{key: _walk(cast("Any", artifact)[key], replace) for key in FREE_TEXT},
            "rows": None,
            "made": _without_node(artifact["made"]),
        }
        for artifact in content["artifacts"]
    ]
    for artifact in content["artifacts"]:
        artifact["repeats"] = [{**again, "made": _without_node(again["made"])} for again in artifact["repeats"]]
    for key in ("missing", "excluded", "elsewhere"):
        content[key] = _walk(content[key], replace)
    content["excluded"].sort(key=lambda entry: (entry["by"], entry["what"]))
    content["missing"].sort()
    settings = _walk(_without_paths(document["shared"]["settings"]), _hide_path)
    content["shared"] = {**document["shared"], "settings": settings}
    _sort_by_name(content)
    if document["metrics"]:
        content["metrics"] = {key: value for key, value in document["metrics"].items() if key in FIGURES}
    return cast("AuditDocument", content)


def _without_words_of_the_table(document: AuditDocument, written: Collection[str]) -> Any:
    """Copy a document without the reasons in the table of patients, and without the person who decided."""
    content: Any = dict(document)
    content["excluded"] = [
        entry if entry["by"].startswith("stage ") else {**entry, "by": TABLE, "reason": f"stated in the {TABLE}"}
        for entry in document["excluded"]
    ]
    content["artifacts"] = [
        {**artifact, "figures": {**artifact["figures"], "excluded": _hide_reasons(excluded, written)}}
        if isinstance(excluded := artifact["figures"].get("excluded"), dict)
        else artifact
        for artifact in document["artifacts"]
    ]
    return content


def _hide_reasons(excluded: Mapping[str, JSON], written: Collection[str]) -> Mapping[str, JSON]:
    return {case: f"stated in the {TABLE}" if case in written else reason for case, reason in excluded.items()}


def _sort_by_name(content: Any) -> None:
    """Sort artifacts and their inputs by stage and new name, and correct the places by which they are named."""
    stages = {stage["name"]: place for place, stage in enumerate(content["stages"])}
    artifacts = content["artifacts"]
    order = sorted(
        range(len(artifacts)), key=lambda old: (stages.get(artifacts[old]["stage"], 0), artifacts[old]["name"])
    )
    places: dict[int | None, int | None] = {old: new for new, old in enumerate(order)}
    content["artifacts"] = [artifacts[old] for old in order]
    for artifact in content["artifacts"]:
        artifact["inputs"] = sorted(
            ([label, value, places.get(source)] for label, value, source in artifact["inputs"]),
            key=lambda need: need[0],
        )
        for key, value in artifact["figures"].items():
            if isinstance(value, dict):
                artifact["figures"][key] = dict(sorted(value.items()))
    content["conflicts"] = sorted(place for old in content["conflicts"] if (place := places.get(old)) is not None)


def _without_paths(settings: Any) -> Any:
    """Hide the values of settings that are files or folders."""
    if isinstance(settings, dict):
        return {
            key: "<path>" if key in SETTINGS_WITH_PATHS and isinstance(value, str) else _without_paths(value)
            for key, value in settings.items()
        }
    return [_without_paths(value) for value in settings] if isinstance(settings, list | tuple) else settings


def _batches(document: AuditDocument) -> Iterable[str]:
    """Names that users gave to batches of new patients."""
    units = [entry["unit"] for entry in document["artifacts"] if entry["stage"] in STAGES_OF_BATCHES]
    return {unit.rpartition("/")[2] for unit in units} - {"external"}


def _hide_path(text: str) -> str:
    """Hide a setting that is a path, or replace the paths in it."""
    return "<path>" if RELATIVE.fullmatch(text) else PATH.sub("<path>", text)


def _without_node(made: Any) -> Any:
    """Drop the names of machines, and the time of day: jobs start in the order of the ids."""
    if not made:
        return made
    kept = {key: value for key, value in made.items() if key not in {"node", "allocation"}}
    return kept | {"started": made["started"][:10]} if "started" in made else kept


def _walk(value: Any, change: Callable[[str], str]) -> Any:
    """Change every text of a JSON value, keys included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): _walk(inner, change) for key, inner in value.items()}
    return [_walk(inner, change) for inner in value] if isinstance(value, list | tuple) else value
