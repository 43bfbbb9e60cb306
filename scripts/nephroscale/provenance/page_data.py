"""The data of the audit's page: columns for drawing and searching, and details in chunks that are read on demand."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Literal, TypeAlias, cast

import orjson
from markupsafe import Markup

from nephroscale.html import cases_of
from nephroscale.json_text import JSON
from nephroscale.provenance.document_types import ArtifactEntry, AuditDocument, InputEntry, ModelMetricsEntry
from nephroscale.provenance.status import STATUSES, patients

#: Artifacts in one chunk of details, which a browser reads in a few milliseconds.
CHUNK = 500
Column: TypeAlias = Literal["digest", "recipe", "size", "code", "packages", "settings", "compute"]
#: Properties of artifacts that are copied to the page unchanged.
COLUMNS: tuple[Column, ...] = ("digest", "recipe", "size", "code", "packages", "settings", "compute")
#: A row of details: figures, table rows, seed, repeats, values of the inputs.
Details: TypeAlias = list[object]


def describe_cases(metrics: ModelMetricsEntry) -> str:
    """Describe on how many cases of how many patients a model's figures are based."""
    cases = metrics.get("patients", 0)
    return cases_of(cases, metrics.get("people", cases))


def page_data(
    document: AuditDocument, status: Sequence[str], groups: Mapping[str, int]
) -> tuple[dict[str, object], list[list[Details]]]:
    """Arrange a document for the page.

    Parameters
    ----------
    document
        The audit (:func:`nephroscale.provenance.document.make_document`).
    status
        Of each artifact.
    groups
        Number of the group under which the page shows a sentence.

    Returns
    -------
    index
        Columns over artifacts. ``inputs`` are places; a negative place -1 - k is the k-th of ``files``: an input that
        is no artifact of the plan, as [label, digest, stage], with -1 or the stage of an artifact no longer planned.
        ``through`` are the places in ``files`` of the raw files that an artifact reads through parts of a patient's
        register; None where it reads the whole register or none.
        ``loose`` are the artifacts that depend only on whether their inputs were accepted.
    chunks
        Of :data:`CHUNK` artifacts each: [figures, rows without nulls, seed, repeats, values], with one value per input:
        0 where it is the digest of the named artifact, else [part, value].
    """
    artifacts = document["artifacts"]
    numbers = {stage["name"]: number for number, stage in enumerate(document["stages"])}
    words = {name: _Words() for name in ("reason", "because", "run", "device", "node", "git")}
    files = _Words()
    inputs: list[list[int]] = []
    chunks: list[list[Details]] = []
    loose: list[int] = []
    through: list[list[int] | None] = []
    raw: dict[tuple[int, str], int] = {}  # place of a register and label of a raw file to the place in files
    for place, artifact in enumerate(artifacts):
        named: list[int] = []
        values: list[list[str] | Literal[0]] = []
        for label, value, source in artifact["inputs"]:
            if source is None:
                stage = numbers.get(label.partition("/")[0], -1) if "/" in label else -1
                raw[place, label] = files[label, value, stage]
                named.append(-1 - raw[place, label])
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
        chunks[-1].append(
            [artifact["figures"], drop_nulls(artifact["rows"]), artifact["seed"], artifact["repeats"], values]
        )

    made = [cast("Mapping[str, Hashable]", artifact["made"]) for artifact in artifacts]
    kinds = list(STATUSES)
    columns: dict[str, list[object]] = {name: [artifact[name] for artifact in artifacts] for name in COLUMNS}
    columns |= {name: [words[name].place(facts.get(name)) for facts in made] for name in ("device", "node", "git")}
    named_places = {artifact["name"]: place for place, artifact in enumerate(artifacts)}
    index = {
        "chunk": CHUNK,
        "stages": [[stage["name"], stage["rule"], stage["script"]] for stage in document["stages"]],
        "statuses": list(STATUSES.items()),
        "stage": [numbers[artifact["stage"]] for artifact in artifacts],
        "unit": [artifact["unit"] for artifact in artifacts],
        "status": [kinds.index(name) for name in status],
        "rejected": [place for place, artifact in enumerate(artifacts) if artifact["status"] != "accepted"],
        "conflicts": document["conflicts"],
        "again": [place for place, artifact in enumerate(artifacts) if artifact["repeats"]],
        "kind": [None if artifact["kind"] is None else int(artifact["kind"] != "file") for artifact in artifacts],
        **columns,
        "reason": [words["reason"].place(artifact["reason"]) for artifact in artifacts],
        "because": [[words["because"].place(text) for text in artifact["because"]] for artifact in artifacts],
        "run": [words["run"].place(run_of(artifact)) for artifact in artifacts],
        "started": [facts.get("started") for facts in made],
        "seconds": [facts.get("seconds") for facts in made],
        "peak": [facts.get("peak_mb") for facts in made],
        "patient": patients(artifacts),
        "inputs": inputs,
        "loose": loose,
        "through": through,
        "files": list(files),
        "words": {name: list(found) for name, found in words.items()},
        "groups": [groups.get(str(text), -1) for text in words["because"]],
        "elsewhere": [
            [named_places[entry["artifact"]], entry["device"], entry["within"], entry["sentence"]]
            for entry in document["elsewhere"]
        ],
        "shared": document["shared"],
        "metrics": {
            name: {"pooled": found.get("pooled", {}), "cases": describe_cases(found)}
            for name, found in (document["metrics"]["models"] if document["metrics"] else {}).items()
        },
    }
    return index, chunks


def _through(
    inputs: Sequence[InputEntry],
    artifacts: Sequence[ArtifactEntry],
    raw: Mapping[tuple[int, str], int],
) -> list[int] | None:
    needs = [
        raw.get((source, label.partition("#")[2]))
        for label, _, source in inputs
        if source is not None and artifacts[source]["stage"] == "register"
    ]
    found = [file for file in needs if file is not None]
    return found if found and len(found) == len(needs) else None


def drop_nulls(value: JSON) -> JSON:
    """Drop the null members of JSON objects: most columns of most table rows are empty."""
    if isinstance(value, dict):
        return {key: drop_nulls(inner) for key, inner in value.items() if inner is not None}
    return [drop_nulls(inner) for inner in value] if isinstance(value, list) else value


def run_of(artifact: ArtifactEntry) -> str | None:
    """Name the run that made an artifact; a record without a run counts under its own start."""
    made = artifact["made"]
    return made.get("run") or made.get("started") if made else None


def safe_json(value: object) -> Markup:
    """Encode a JSON value so that it cannot end the script element that holds it; equal values give equal text."""
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704  (escaped just above; in a script element, entities would not be read)


class _Words(dict[Hashable, int]):
    """Values that many artifacts have in common, each with its place; a new one is added."""

    def __missing__(self, word: Hashable) -> int:
        self[word] = len(self)
        return self[word]

    def place(self, word: Hashable) -> int | None:
        """Get the place of a value; None stays None."""
        return None if word is None else self[word]
