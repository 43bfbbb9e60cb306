"""The audit as one JSON document, from which the page and the crate are made."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Literal, cast

from nephroscale.engine.plan import Plan
from nephroscale.json_text import JSON, canonical_json
from nephroscale.provenance.document_types import (
    ArtifactEntry,
    AuditDocument,
    Comparison,
    Exclusion,
    Metrics,
    RunEntry,
    Shared,
)
from nephroscale.provenance.graph import CURRENT, LOST, Artifact, Graph


def make_document(plan: Plan, graph: Graph, elsewhere: list[Comparison] | None = None) -> AuditDocument:
    """Make the document of an audit.

    Parameters
    ----------
    plan
        Of the results folder.
    graph
        Its artifacts.
    elsewhere
        Comparisons with other machines (:func:`nephroscale.provenance.cross_machine.compare_elsewhere`).

    Returns
    -------
    AuditDocument
        ``title``, ``headline`` (lines) and ``metrics`` (content of metrics.json, or None) of the report; ``stages`` in
        order; ``artifacts`` in the order of the stages; ``shared`` (values that artifacts name by their place);
        ``runs``, oldest first; ``missing`` (stage/unit without a receipt); ``conflicts`` (places of artifacts whose
        recipe gave something else in a later run); ``excluded`` patients and artifacts; ``elsewhere`` (as given);
        ``looks`` (fold to the number of configurations ever scored on its test patients).
    """
    shared = _SharedValues()
    index = {artifact.key: place for place, artifact in enumerate(graph)}
    artifacts = [_entry(artifact, index, shared) for artifact in graph]
    report = graph.artifacts.get(("report", "cohort"))
    return {
        "format": 1,
        "title": plan.config.report.title,
        "headline": cast("list[str]", report.receipt.figures.get("headline", [])) if report else [],
        "metrics": cast("Metrics | None", _content(plan, report, "metrics.json")),
        "stages": [
            {
                "name": name,
                "rule": stage.rule,
                "script": f"{stage.rule}.py",
                "suffix": stage.suffix,
                "after": list(stage.after),
            }
            for name, stage in plan.stages.items()
            if name != "audit"
        ],
        "artifacts": artifacts,
        "shared": shared.values,
        "runs": _runs(artifacts),
        "missing": ["/".join(key) for key in graph.missing],
        "conflicts": [
            place for place, entry in enumerate(artifacts) if any(not repeat["agrees"] for repeat in entry["repeats"])
        ],
        "excluded": _excluded(plan, graph),
        "elsewhere": elsewhere or [],
        "looks": _looks(report),
    }


def _content(plan: Plan, artifact: Artifact | None, file: str) -> JSON:
    """Read a JSON file of an artifact's object; None if there is none, or it is lost."""
    return None if artifact is None or artifact.state == LOST else cast("JSON", plan.object_json(*artifact.key, file))


def _entry(artifact: Artifact, index: Mapping[tuple[str, str], int], shared: _SharedValues) -> ArtifactEntry:
    """One artifact: its receipt, recipe and record, with inputs named by their place in ``artifacts``."""
    receipt, recipe = artifact.receipt, artifact.record.recipe if artifact.record else None
    return {
        "name": artifact.name,
        "stage": receipt.stage,
        "unit": receipt.unit,
        "status": receipt.status,
        "reason": receipt.reason,
        "digest": receipt.digest,
        "kind": receipt.kind,
        "size": receipt.size,
        "figures": receipt.figures,
        "state": artifact.state,
        "because": artifact.because,
        "recipe": recipe.digest if recipe else None,
        "code": shared.place("code", recipe.code) if recipe else None,
        "packages": shared.place("packages", recipe.packages) if recipe else None,
        "settings": shared.place("settings", recipe.settings) if recipe else None,
        "compute": shared.place("compute", recipe.compute) if recipe else None,
        "rows": cast("JSON", recipe.rows) if recipe else None,
        "seed": recipe.seed if recipe else None,
        "made": artifact.made,
        "inputs": [
            (need.label, need.value, index[need.artifact] if need.artifact else None) for need in artifact.inputs
        ],
        "repeats": artifact.repeats,
    }


class _SharedValues:
    """Values that many artifacts have in common, each kept once."""

    def __init__(self) -> None:
        self.values: Shared = {"code": [], "packages": [], "settings": [], "compute": []}
        self._places: dict[tuple[str, bytes], int] = {}

    def place(self, name: Literal["code", "packages", "settings", "compute"], value: object) -> int:
        """Get the place of a value in the list of its name; a new value is added."""
        key = (name, canonical_json(value))
        if key not in self._places:
            values = cast("list[object]", self.values[name])
            self._places[key] = len(values)
            values.append(value)
        return self._places[key]


def _looks(report: Artifact | None) -> dict[str, int]:
    """Read from the report's recipe the number of configurations that were scored on each test fold."""
    rows = report.record.recipe.rows if report and report.record else None
    uses = rows.get("test_set_uses") if isinstance(rows, dict) else None
    return {fold: int(str(count)) for fold, count in uses.items()} if isinstance(uses, dict) else {}


def _runs(artifacts: list[ArtifactEntry]) -> list[RunEntry]:
    """List the runs that made the artifacts, oldest first; a record without a run counts under its own start."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    seconds: dict[str, float] = defaultdict(float)
    for entry in artifacts:
        if entry["made"]:
            run = entry["made"].get("run") or entry["made"]["started"]
            counts[run][entry["stage"]] += 1
            seconds[run] += entry["made"]["seconds"]
    return [
        {"run": run, "made": dict(counts[run]), "artifacts": counts[run].total(), "seconds": round(seconds[run], 1)}
        for run in sorted(counts)
    ]


def _excluded(plan: Plan, graph: Graph) -> list[Exclusion]:
    """List patients and artifacts that were left out, with the reason and who decided it."""
    found: list[Exclusion] = [
        {
            "what": f"patient {patient.id}",
            "reason": patient.reason or "",
            "by": patient.columns.get("decided_by") or "table of patients",
        }
        for patient in plan.cohort.patients.values()
        if patient.status not in {"eligible", "segmentation"}
    ]
    folds = _content(plan, graph.artifacts.get(("folds", "cohort")), "folds.json")
    excluded = folds.get("excluded") if isinstance(folds, dict) else None
    known = {(entry["what"], entry["reason"]) for entry in found}  # the folds repeat what the table decides
    found += [
        {"what": f"patient {name}", "reason": str(reason), "by": "stage folds"}
        for name, reason in (excluded.items() if isinstance(excluded, dict) else ())
        if (f"patient {name}", str(reason)) not in known
    ]
    return found + [
        {"what": artifact.name, "reason": artifact.receipt.reason or "", "by": f"stage {artifact.receipt.stage}"}
        for artifact in graph
        if not artifact.receipt.accepted and "because" not in artifact.receipt.figures
    ]


def count_states(document: AuditDocument) -> dict[str, int]:
    """Count the artifacts in each state."""
    return dict(Counter(entry["state"] for entry in document["artifacts"])) or {CURRENT: 0}
