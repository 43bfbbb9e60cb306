"""What was done, for the crate: one action a record, gathered by stage and by run."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nephroscale.provenance.crate_entities import times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rocrate.model.contextentity import ContextEntity
    from rocrate.model.data_entity import DataEntity

    from nephroscale.provenance.crate_entities import Entities

#: A literal, for so the validator wants it; an action without a status was completed.
FAILED = "http://schema.org/FailedActionStatus"


@dataclass
class _Run:
    """What one command made."""

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
        Where they are added.
    artifacts
        The data entity of each artifact of the document; None where there is no object.
    """

    def __init__(self, document: dict[str, Any], entities: Entities, artifacts: list[DataEntity | None]) -> None:
        self._document = document
        self._entities = entities
        self._ids = [artifact.id if artifact else None for artifact in artifacts]
        self._values_of: dict[tuple[Any, ...], list[ContextEntity]] = {}
        self._scripts = {stage["name"]: stage["script"] for stage in document["stages"]}
        self.tools: dict[str, dict[tuple[int, int], ContextEntity]] = defaultdict(dict)
        self.runs: dict[str, _Run] = defaultdict(_Run)
        records: dict[str, list[int]] = defaultdict(list)
        for place, entry in enumerate(document["artifacts"]):
            if entry["recipe"]:
                records[entry["recipe"]].append(place)
        for places in records.values():
            self._add(places)

    def __iter__(self) -> Iterator[ContextEntity]:
        """The actions, by run and stage."""
        for _, run in sorted(self.runs.items()):
            for actions in run.by_stage.values():
                yield from actions

    def _add(self, places: list[int]) -> None:
        """The action of a record, whose recipe may have served several units, and those of later runs of it."""
        entry = self._document["artifacts"][places[0]]
        names = ", ".join(self._document["artifacts"][place]["name"] for place in places)
        results = [identifier for place in places if (identifier := self._ids[place])]
        inputs = list(self._inputs(entry))
        common = {
            "inputs": inputs,
            "instrument": self._tool(entry),
            "object": [{"@id": identifier} for identifier in inputs] + self._values(entry),
        }
        identifier, title = f"#make/{quote(entry['name'])}", f"Make {names}"
        self._act(identifier, entry, entry["made"], results=results, reason=entry["reason"], name=title, **common)
        for number, repeat in enumerate(entry["repeats"], start=1):
            told = {"results": results, "reason": entry["reason"]}
            if not repeat["agrees"]:
                other = f", but BLAKE3 {repeat['digest']}" if repeat.get("digest") else ""
                told = {
                    "results": [],
                    "reason": repeat.get("reason"),
                    "note": f" It did not give what the first run gave, which stands{other}.",
                }
            again = f"{identifier}/again-{number}"
            self._act(again, entry, repeat["made"], name=f"{title} again", **told, **common)

    def _act(
        self,
        identifier: str,
        entry: dict[str, Any],
        made: dict[str, Any],
        *,
        inputs: list[str],
        results: list[str],
        reason: str | None,
        note: str = "",
        **given: Any,
    ) -> None:
        start, end = times(made)
        commit = made.get("git")
        action = self._entities.context(
            identifier,
            "CreateAction",
            description=f"Recipe {entry['recipe']}" + (f", git commit {commit}" if commit else "") + "." + note,
            startTime=start,
            endTime=end,
            result=[{"@id": name} for name in results],
            resourceUsage=self._entities.usage(made),
            actionStatus=FAILED if reason else None,
            error=reason,
            **given,
        )
        # A record of before runs had names counts to the one run without a name.
        self.runs[made.get("run") or ""].add(entry["stage"], action, (start, end), inputs, results)

    def _tool(self, entry: dict[str, Any]) -> ContextEntity:
        """The script that made an artifact, in the state that its code and packages were in."""
        stage, state = entry["stage"], (entry["code"], entry["packages"])
        if state not in self.tools[stage]:
            code, packages = self._shared(entry, "code") or {}, self._shared(entry, "packages") or {}
            self.tools[stage][state] = self._entities.tool(
                self._scripts[stage], code, packages, f"The script of stage {stage}."
            )
        return self.tools[stage][state]

    def _values(self, entry: dict[str, Any]) -> list[ContextEntity]:
        """What an artifact was made from beside data: its slice of the configuration, compute settings, the seed."""
        key = (entry["settings"], entry["compute"], entry["seed"])
        if key not in self._values_of:
            given = {name: self._shared(entry, name) for name in ("settings", "compute")} | {"seed": entry["seed"]}
            self._values_of[key] = [
                self._entities.value(name, value) for name, value in given.items() if value not in (None, {})
            ]
        return self._values_of[key]

    def _shared(self, entry: dict[str, Any], name: str) -> Any:
        """A part of an artifact's recipe; None where there is no record."""
        return None if entry[name] is None else self._document["shared"][name][entry[name]]

    def _inputs(self, entry: dict[str, Any]) -> Iterator[str]:
        """Names of what an artifact was made from, each once; one that was rejected gave nothing to be used."""
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
        """A raw file, or the files of one raw image, by its id; its place holds the links to them."""
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
