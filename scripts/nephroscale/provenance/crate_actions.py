"""Actions of the crate: one for each record, grouped by run and stage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

from rocrate.model.contextentity import ContextEntity
from rocrate.model.data_entity import DataEntity

from nephroscale.collect import grouped
from nephroscale.provenance.crate_entities import Entities, times
from nephroscale.provenance.document_types import ArtifactEntry, AuditDocument
from nephroscale.store.records import Made

#: The validator requires a literal; an action without a status was completed.
FAILED = "http://schema.org/FailedActionStatus"


@dataclass
class _Run:
    """One run of the workflow: its time, its actions by stage, and what they read and made."""

    start: str = ""
    end: str = ""
    by_stage: dict[str, list[ContextEntity]] = field(default_factory=lambda: defaultdict(list))
    consumed: dict[str, None] = field(default_factory=dict)
    produced: dict[str, None] = field(default_factory=dict)

    def add(
        self, stage: str, action: ContextEntity, between: tuple[str, str], inputs: list[str], results: list[str]
    ) -> None:
        self.start = min(self.start or between[0], between[0])
        self.end = max(self.end, between[1])
        self.by_stage[stage].append(action)
        self.consumed.update(dict.fromkeys(inputs))
        self.produced.update(dict.fromkeys(results))


class Actions:
    """The actions of a document.

    Parameters
    ----------
    document
        The audit.
    entities
        The entities that the actions are added to.
    artifacts
        The data entity of each artifact of the document; None where there is no object.
    """

    def __init__(self, document: AuditDocument, entities: Entities, artifacts: list[DataEntity | None]) -> None:
        self._document = document
        self._entities = entities
        self._ids = [artifact.id if artifact else None for artifact in artifacts]
        self._values_of: dict[tuple[int | None, ...], list[ContextEntity]] = {}
        self._scripts = {stage["name"]: stage["script"] for stage in document["stages"]}
        self.tools: dict[str, dict[tuple[int | None, int | None], ContextEntity]] = defaultdict(dict)
        self.runs: dict[str, _Run] = defaultdict(_Run)
        recipes = ((entry["recipe"], place) for place, entry in enumerate(document["artifacts"]) if entry["recipe"])
        for places in grouped(recipes).values():
            self._add(places)

    def __iter__(self) -> Iterator[ContextEntity]:
        """Iterate over the actions, by run and stage."""
        for _, run in sorted(self.runs.items()):
            for actions in run.by_stage.values():
                yield from actions

    def _add(self, places: list[int]) -> None:
        """Add the action of a record, which may have made several artifacts, and those of its repeats."""
        entry = self._document["artifacts"][places[0]]
        names = ", ".join(self._document["artifacts"][place]["name"] for place in places)
        results = [identifier for place in places if (identifier := self._ids[place])]
        inputs = list(self._inputs(entry))
        tool, used = self._tool(entry), [*({"@id": identifier} for identifier in inputs), *self._values(entry)]
        identifier, title = f"#make/{quote(entry['name'])}", f"Make {names}"
        self._act(
            identifier,
            entry,
            entry["made"],
            results=results,
            reason=entry["reason"],
            name=title,
            inputs=inputs,
            instrument=tool,
            used=used,
        )
        for number, repeat in enumerate(entry["repeats"], start=1):
            outcome, reason, remark = results, entry["reason"], ""
            if not repeat["agrees"]:
                other = f", but BLAKE3 {repeat['digest']}" if repeat.get("digest") else ""
                outcome, reason = [], repeat.get("reason")
                remark = f" It did not give the result of the first run, which is kept{other}."
            self._act(
                f"{identifier}/again-{number}",
                entry,
                repeat["made"],
                results=outcome,
                reason=reason,
                remark=remark,
                name=f"{title} again",
                inputs=inputs,
                instrument=tool,
                used=used,
            )

    def _act(
        self,
        identifier: str,
        entry: ArtifactEntry,
        made: Made,
        *,
        name: str,
        inputs: list[str],
        instrument: ContextEntity,
        used: list[dict[str, str] | ContextEntity],
        results: list[str],
        reason: str | None,
        remark: str = "",
    ) -> None:
        start, end = times(made)
        commit = made.get("git")
        action = self._entities.context(
            identifier,
            "CreateAction",
            description=f"Recipe {entry['recipe']}" + (f", git commit {commit}" if commit else "") + "." + remark,
            startTime=start,
            endTime=end,
            result=[{"@id": result} for result in results],
            resourceUsage=self._entities.usage(made),
            actionStatus=FAILED if reason else None,
            error=reason,
            name=name,
            instrument=instrument,
            object=used,
        )
        self.runs[made.get("run") or ""].add(entry["stage"], action, (start, end), inputs, results)

    def _tool(self, entry: ArtifactEntry) -> ContextEntity:
        """The script that made an artifact, with the versions of its code and packages."""
        stage, state = entry["stage"], (entry["code"], entry["packages"])
        if state not in self.tools[stage]:
            shared = self._document["shared"]
            code = {} if entry["code"] is None else shared["code"][entry["code"]]
            packages = {} if entry["packages"] is None else shared["packages"][entry["packages"]]
            self.tools[stage][state] = self._entities.tool(
                self._scripts[stage], code, packages, f"The script of stage {stage}."
            )
        return self.tools[stage][state]

    def _values(self, entry: ArtifactEntry) -> list[ContextEntity]:
        """The parameters of an artifact: its slice of the configuration, compute settings and seed."""
        key = (entry["settings"], entry["compute"], entry["seed"])
        if key not in self._values_of:
            shared = self._document["shared"]
            given = {
                "settings": None if entry["settings"] is None else shared["settings"][entry["settings"]],
                "compute": None if entry["compute"] is None else shared["compute"][entry["compute"]],
                "seed": entry["seed"],
            }
            self._values_of[key] = [
                self._entities.value(name, value) for name, value in given.items() if value not in (None, {})
            ]
        return self._values_of[key]

    def _inputs(self, entry: ArtifactEntry) -> Iterator[str]:
        """Identifiers of the inputs of an artifact, each once; rejected inputs have no object and are left out."""
        found: dict[str, None] = {}
        for label, value, place in entry["inputs"]:
            if place is not None:
                if identifier := self._ids[place]:
                    found[identifier] = None
            elif entry["stage"] == "register":
                found[self._raw(label, value)] = None
            elif _is_digest(value):
                digest = self._entities.digest(value)
                name = f"#input-{value}"
                found[self._entities.context(name, "CreativeWork", name=label, identifier=digest).id] = None
        yield from found

    def _raw(self, label: str, digest: str) -> str:
        """The entity of a raw file, or of the files of one raw image, by its id."""
        name = self._entities.place(f"raw/{label}")
        if name not in self._entities.crate:
            self._entities.data(
                name,
                "File",
                name=label,
                description="Raw image or annotation.",
                identifier=self._entities.digest(digest),
            )
        return name


def _is_digest(value: str) -> bool:
    return len(value) == 64 and all(digit in "0123456789abcdef" for digit in value)
