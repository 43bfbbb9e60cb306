"""The audit as one JSON document: what the page shows and what the crate is built from."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from nephroscale.provenance.graph import CURRENT, LOST, Artifact, Graph, Input

if TYPE_CHECKING:
    from nephroscale.engine.plan import Plan

#: Parts of a recipe that many artifacts share: kept once, and named by their place.
SHARED = ("code", "packages", "settings", "compute")


def make_document(plan: Plan, graph: Graph, elsewhere: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Put everything that the audit knows into JSON values.

    Parameters
    ----------
    plan
        Of the results folder.
    graph
        Its artifacts.
    elsewhere
        Comparisons with other machines (see :func:`nephroscale.provenance.cross_machine.compare_elsewhere`).

    Returns
    -------
    dict
        ``title``, ``headline`` (lines) and ``metrics`` (content of metrics.json, or None); ``stages`` (in order, with
        the rule, script and suffix of each); ``artifacts`` (see :func:`_entry`), in the order of the stages; ``shared``
        (values that artifacts name by their place in it); ``runs`` (how many artifacts each run made, oldest first);
        ``missing`` (stage/unit without a receipt); ``conflicts`` (places of artifacts whose recipe once gave something
        else); ``excluded`` (who or what was left out, why, and by whom); ``elsewhere`` (as given); ``looks`` (fold to
        the number of configurations ever scored on its test patients).
    """
    shared = _Shared()
    index = {artifact.key: place for place, artifact in enumerate(graph)}
    inputs = _Inputs(index)
    artifacts = [_entry(artifact, inputs, shared) for artifact in graph]
    report = graph.artifacts.get(("report", "cohort"))
    return {
        "format": 1,
        "title": plan.config["report"]["title"],
        "headline": report.receipt.figures.get("headline", []) if report else [],
        "metrics": _content(plan, report, "metrics.json"),
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


def _content(plan: Plan, artifact: Artifact | None, file: str) -> Any:
    """A JSON file of an artifact's object; None where there is none, or it is lost."""
    return None if artifact is None or artifact.state == LOST else plan.object_json(*artifact.key, file)


class _Inputs(dict[int, list[Any]]):
    """Inputs as JSON values, by identity: the graph holds each of them once, and folds have millions in common."""

    def __init__(self, index: dict[tuple[str, str], int]) -> None:
        super().__init__()
        self._index = index

    def value(self, need: Input) -> list[Any]:
        found = self.get(id(need))
        if found is None:
            found = [need.label, need.value, self._index[need.artifact] if need.artifact else None]
            self[id(need)] = found
        return found


def _entry(artifact: Artifact, inputs: _Inputs, shared: _Shared) -> dict[str, Any]:
    """One artifact: its receipt, recipe and record, with inputs named by their place in ``artifacts``."""
    receipt, parts = artifact.receipt, artifact.parts
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
        "recipe": artifact.record["recipe"] if artifact.record else None,
        **{name: shared.place(name, parts[name]) if name in parts else None for name in SHARED},
        "rows": parts.get("rows"),
        "seed": parts.get("seed"),
        "made": artifact.made,
        "inputs": list(map(inputs.value, artifact.inputs)),
        "repeats": artifact.repeats,
    }


class _Shared:
    """Values that many artifacts have in common, each kept once."""

    def __init__(self) -> None:
        self.values: dict[str, list[Any]] = {name: [] for name in SHARED}
        self._places: dict[tuple[str, str], int] = {}
        self._same: dict[tuple[str, int], int] = {}  # by identity: what recipes share is held while they are

    def place(self, name: str, value: Any) -> int:
        """Where a value stands in the list of its name."""
        place = self._same.get((name, id(value)))
        if place is None:
            key = (name, json.dumps(value, sort_keys=True))
            if key not in self._places:
                self._places[key] = len(self.values[name])
                self.values[name].append(value)
            place = self._same[name, id(value)] = self._places[key]
        return place


def _looks(report: Artifact | None) -> dict[str, int]:
    """As the report that lies there was told."""
    settings = report.parts.get("settings", {}) if report else {}
    return dict(settings.get("looks", {}))


def _runs(artifacts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs in which artifacts were made, oldest first; a record that names no run counts under its own start."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    seconds: Counter[str] = Counter()
    for entry in artifacts:
        if entry["made"]:
            run = entry["made"].get("run") or entry["made"]["started"]
            counts[run][entry["stage"]] += 1
            seconds[run] += entry["made"]["seconds"]
    return [
        {"run": run, "made": dict(counts[run]), "artifacts": counts[run].total(), "seconds": round(seconds[run], 1)}
        for run in sorted(counts)
    ]


def _excluded(plan: Plan, graph: Graph) -> list[dict[str, str]]:
    """Patients and artifacts left out, with the reason, and whether the tables or the run said so."""
    found = [
        {
            "what": f"patient {patient.id}",
            "reason": patient.reason or "",
            "by": patient.columns.get("decided_by") or "table of patients",
        }
        for patient in plan.cohort.patients.values()
        if patient.status not in {"eligible", "segmentation"}
    ]
    folds = _content(plan, graph.artifacts.get(("folds", "cohort")), "folds.json")
    for patient, reason in (folds or {}).get("excluded", {}).items():
        found.append({"what": f"patient {patient}", "reason": reason, "by": "stage folds"})
    found += [
        {"what": artifact.name, "reason": artifact.receipt.reason or "", "by": f"stage {artifact.receipt.stage}"}
        for artifact in graph
        if not artifact.receipt.accepted and "because" not in artifact.receipt.figures
    ]
    return found


def count_states(document: dict[str, Any]) -> dict[str, int]:
    """How many artifacts are in each state."""
    return dict(Counter(entry["state"] for entry in document["artifacts"])) or {CURRENT: 0}
