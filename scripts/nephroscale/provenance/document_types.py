"""The types of the audit document: JSON objects, as ``audit.json`` holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias, TypedDict

from nephroscale.json_text import JSON
from nephroscale.store.records import Made

#: Label and digest of an input, and the place of its artifact in the document; None for a raw file.
InputEntry: TypeAlias = tuple[str, str, int | None]


class RepeatEntry(TypedDict):
    """A later run of a recipe: whether it gave the same, and the digest or reason that it gave."""

    made: Made
    agrees: bool
    digest: str | None
    reason: str | None


class ArtifactEntry(TypedDict):
    """An artifact: its receipt, status, recipe and record.

    ``code``, ``packages``, ``settings`` and ``compute`` are places in the document's ``shared`` lists; None where there
    is no record.
    """

    name: str
    stage: str
    unit: str
    status: str
    reason: str | None
    digest: str | None
    kind: str | None
    size: int
    figures: Mapping[str, JSON]
    state: str
    because: list[str]
    recipe: str | None
    code: int | None
    packages: int | None
    settings: int | None
    compute: int | None
    rows: JSON
    seed: int | None
    made: Made
    inputs: list[InputEntry]
    repeats: list[RepeatEntry]


class StageEntry(TypedDict):
    """A stage: rule, script, suffix of its objects, and the stages before it."""

    name: str
    rule: str
    script: str
    suffix: str
    after: list[str]


class Shared(TypedDict):
    """Parts of recipes that many artifacts share."""

    code: list[Mapping[str, str]]
    packages: list[Mapping[str, str]]
    settings: list[JSON]
    compute: list[Mapping[str, JSON]]


class RunEntry(TypedDict):
    """A run of the workflow: artifacts made by stage and in all, and seconds of computing."""

    run: str
    made: dict[str, int]
    artifacts: int
    seconds: float


class Exclusion(TypedDict):
    """A patient or artifact that was left out, the reason, and the table or stage that decided it."""

    what: str
    reason: str
    by: str


class Comparison(TypedDict):
    """An artifact compared with the same work on another machine.

    ``equal`` (to the byte), ``within`` (the tolerance) and ``largest`` (absolute difference of any number; None where
    no numbers were compared).
    """

    artifact: str
    device: str
    compute: Mapping[str, JSON]
    equal: bool
    within: bool
    largest: float | None
    sentence: str


class EstimateEntry(TypedDict):
    """A figure with its 95 % interval; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None


class ModelMetricsEntry(TypedDict, total=False):
    """Figures of a model in ``metrics.json``: pooled over folds and seeds, on `patients` cases of `people` patients."""

    patients: int
    people: int
    pooled: dict[str, EstimateEntry]


class Metrics(TypedDict):
    """What the audit reads from ``metrics.json``: the name of the headline model, and all models."""

    headline: str
    models: dict[str, ModelMetricsEntry]


class AuditDocument(TypedDict):
    """The audit (see :func:`nephroscale.provenance.document.make_document`)."""

    format: int
    title: str
    headline: list[str]
    metrics: Metrics | None
    stages: list[StageEntry]
    artifacts: list[ArtifactEntry]
    shared: Shared
    runs: list[RunEntry]
    missing: list[str]
    conflicts: list[int]
    excluded: list[Exclusion]
    elsewhere: list[Comparison]
    looks: dict[str, int]
