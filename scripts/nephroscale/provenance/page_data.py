"""The document of an audit as the page holds it: columns to draw and search, details in chunks to read later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from markupsafe import Markup

from nephroscale.html import cases_of
from nephroscale.provenance.status import STANDINGS, patients

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Artifacts in one chunk of details: one chunk is read in a few milliseconds.
CHUNK = 500


def counted(described: Mapping[str, Any]) -> str:
    """Tell how many cases a model's figures are of; reports of earlier versions count patients alone."""
    cases = described.get("patients", 0)
    return cases_of(cases, described.get("people", cases))


def embed(
    document: Mapping[str, Any], standing: Sequence[str], groups: Mapping[str, int]
) -> tuple[dict[str, Any], list[list[Any]]]:
    """Arrange a document for the page.

    Parameters
    ----------
    document
        See :func:`nephroscale.provenance.document.make_document`.
    standing
        Of each artifact.
    groups
        The group that the page shows a sentence under: sentence to the group's number.

    Returns
    -------
    index
        Columns over artifacts. ``inputs`` are places; a negative one, -1 - k, is the k-th of ``files``: what is no
        artifact of the plan, as [label, digest, stage] with the stage of an artifact that is no longer planned, or -1.
        ``through`` are the places in ``files`` of the raw files that an artifact reads by way of a patient's register,
        of which it needs parts alone; None where it needs the whole or none.
        ``loose`` are the artifacts that depend on nothing but whether their inputs were accepted.
    chunks
        Of :data:`CHUNK` artifacts each: [figures, rows without nulls, seed, repeats, values], with a value for each
        input: 0 where it is the digest of what the input names, else [part, value].
    """
    artifacts = document["artifacts"]
    stages = [stage["name"] for stage in document["stages"]]
    numbers = {name: number for number, name in enumerate(stages)}
    words: dict[str, _Words] = {name: _Words() for name in ("reason", "because", "run", "device", "node", "git")}
    files = _Words()
    inputs: list[list[int]] = []
    chunks: list[list[Any]] = []
    loose: list[int] = []
    through: list[list[int] | None] = []
    raw: dict[tuple[int, str], int] = {}  # the register's artifact and the label of a file to the file's place
    for place, artifact in enumerate(artifacts):
        named: list[int] = []
        values: list[Any] = []
        for label, value, source in artifact["inputs"]:
            if source is None:
                stage = numbers.get(label.partition("/")[0], -1) if "/" in label else -1
                named.append(-1 - files.place((label, value, stage)))
                raw[place, label] = -1 - named[-1]
                values.append(0)
            else:
                named.append(source)
                part = label.partition("#")[2]
                values.append([part, value] if part or value != artifacts[source]["digest"] else 0)
        inputs.append(named)
        through.append(_through(artifact["inputs"], artifacts, raw))
        if values and all(value and value[0] == "status" for value in values):
            loose.append(place)
        if place % CHUNK == 0:
            chunks.append([])
        chunks[-1].append([artifact["figures"], told(artifact["rows"]), artifact["seed"], artifact["repeats"], values])

    def made(name: str) -> list[Any]:
        return [artifact["made"].get(name) for artifact in artifacts]

    def column(name: str) -> list[Any]:
        return [artifact[name] for artifact in artifacts]

    kinds = list(STANDINGS)
    named_places = {artifact["name"]: place for place, artifact in enumerate(artifacts)}
    index = {
        "chunk": CHUNK,
        "stages": [[stage["name"], stage["rule"], stage["script"]] for stage in document["stages"]],
        "standings": list(STANDINGS.items()),
        "stage": [numbers[name] for name in column("stage")],
        "unit": column("unit"),
        "standing": [kinds.index(name) for name in standing],
        "rejected": [place for place, status in enumerate(column("status")) if status != "accepted"],
        "conflicts": list(document["conflicts"]),
        "again": [place for place, repeats in enumerate(column("repeats")) if repeats],
        "kind": [0 if kind == "file" else 1 if kind else None for kind in column("kind")],
        **{name: column(name) for name in ("digest", "recipe", "size", "code", "packages", "settings", "compute")},
        "reason": [words["reason"].place(reason) for reason in column("reason")],
        "because": [[words["because"].place(text) for text in texts] for texts in column("because")],
        "run": [words["run"].place(run_of(artifact)) for artifact in artifacts],
        **{name: [words[name].place(value) for value in made(name)] for name in ("device", "node", "git")},
        "started": made("started"),
        "seconds": made("seconds"),
        "peak": made("peak_mb"),
        "patient": patients(artifacts),
        "inputs": inputs,
        "loose": loose,
        "through": through,
        "files": files.words,
        "words": {name: found.words for name, found in words.items()},
        "groups": [groups.get(text, -1) for text in words["because"].words],
        "elsewhere": [
            [named_places[entry["artifact"]], entry["device"], entry["within"], entry["sentence"]]
            for entry in document.get("elsewhere", [])
        ],
        "shared": document["shared"],
        "metrics": {
            name: {"pooled": found.get("pooled", {}), "cases": counted(found)}
            for name, found in ((document["metrics"] or {}).get("models") or {}).items()
        },
    }
    return index, chunks


def _through(
    inputs: Sequence[tuple[str, str, int | None]],
    artifacts: Sequence[Mapping[str, Any]],
    raw: Mapping[tuple[int, str], int],
) -> list[int] | None:
    needs = [
        raw.get((source, label.partition("#")[2]))
        for label, _, source in inputs
        if source is not None and artifacts[source]["stage"] == "register"
    ]
    found = [file for file in needs if file is not None]
    return found if found and len(found) == len(needs) else None


def told(value: Any) -> Any:
    """A JSON value without what is null in its objects: most columns of most rows say nothing."""
    if isinstance(value, dict):
        return {key: told(inner) for key, inner in value.items() if inner is not None}
    return [told(inner) for inner in value] if isinstance(value, list) else value


def run_of(artifact: Mapping[str, Any]) -> str | None:
    """The run that made an artifact; where its record names none, when it started."""
    made = artifact["made"]
    return made.get("run") or made.get("started") if made else None


def safe_json(value: Any) -> Markup:
    """A JSON value that nothing in it can end the script element that holds it, equal for equal values."""
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704  (escaped just above; in a script element, entities would not be read)


class _Words:
    """Values that many artifacts have in common, each kept once; None stays None."""

    def __init__(self) -> None:
        self.words: list[Any] = []
        self._places: dict[Any, int] = {}

    def place(self, word: Any) -> Any:
        if word is None:
            return None
        if word not in self._places:
            self._places[word] = len(self.words)
            self.words.append(word)
        return self._places[word]
