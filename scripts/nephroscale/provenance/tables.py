"""The tables of the audit's page: exclusions, runs, environments, machines, costs and weights."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from nephroscale.collect import grouped
from nephroscale.json_text import JSON
from nephroscale.provenance.document_types import ArtifactEntry, AuditDocument, Comparison, Exclusion
from nephroscale.provenance.page_data import run_of
from nephroscale.store.records import Made

#: Assumed power of a busy processor core and of a GPU, for the estimate of energy.
CORE_WATTS, GPU_WATTS = 10, 300


class ExclusionGroup(NamedTuple):
    """Patients and artifacts that were left out by one decision."""

    by: str
    reason: str
    what: list[str]


class RunSummary(NamedTuple):
    """A run: artifacts made by stage, seconds, commits, and artifacts used from earlier runs (run to number)."""

    run: str
    made: dict[str, int]
    artifacts: int
    seconds: float
    reused: dict[str, int]
    git: list[str]


class Versions(NamedTuple):
    """A package or a code file: version or digest to the number of artifacts made with it."""

    name: str
    versions: dict[str, int]


class Environments(NamedTuple):
    """Packages, and the code files that artifacts used in different versions."""

    packages: list[Versions]
    files: list[Versions]


class Machine(NamedTuple):
    """A device: number of artifacts in all, by node and by stage, and seconds of computing."""

    device: str
    artifacts: int
    nodes: dict[str, int]
    stages: dict[str, int]
    seconds: float


class Cost(NamedTuple):
    """What the artifacts of a stage took.

    ``seconds`` of the jobs, ``cpu`` seconds of the processor in the stages' own functions, ``gpu`` seconds of jobs on a
    GPU, largest memory in MiB (None where no record has it), and the estimated energy in kWh.
    """

    stage: str
    artifacts: int
    seconds: float
    cpu: float
    gpu: float
    peak: float | None
    energy: float


class Elsewhere(NamedTuple):
    """Comparisons with other machines: equal, within and beyond the tolerance, and all of them, the worst first."""

    equal: int
    within: int
    beyond: int
    rows: list[Comparison]


class Weights(NamedTuple):
    """Weights of an encoder, the stage (and modality) whose settings name it, and the number of artifacts."""

    stage: str
    name: str
    digest: str | None
    artifacts: int


def exclusions(excluded: Sequence[Exclusion]) -> list[ExclusionGroup]:
    """Group what was left out by reason and by who decided it."""
    members = grouped(((entry["by"], entry["reason"]), entry["what"]) for entry in excluded)
    return [ExclusionGroup(by, reason, list(dict.fromkeys(what))) for (by, reason), what in members.items()]


def runs(document: AuditDocument) -> list[RunSummary]:
    """List each run with what it made and what it used from earlier runs, newest first."""
    artifacts = document["artifacts"]
    made_in = [run_of(artifact) for artifact in artifacts]
    taken: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    git: dict[str, dict[str, None]] = defaultdict(dict)
    for artifact, run in zip(artifacts, made_in, strict=True):
        if run is None:
            continue
        if commit := artifact["made"].get("git"):
            git[run][commit] = None
        for _, _, place in artifact["inputs"]:
            if place is not None and made_in[place] not in {None, run}:
                taken[run][str(made_in[place])].add(place)
    return [
        RunSummary(
            **entry,
            reused={run: len(places) for run, places in sorted(taken[entry["run"]].items())},
            git=list(git[entry["run"]]),
        )
        for entry in reversed(document["runs"])
    ]


def environments(document: AuditDocument) -> Environments:
    """List the versions of packages and code files with their artifacts; those with several versions come first."""
    artifacts, shared = document["artifacts"], document["shared"]
    packages = _versions(shared["packages"], Counter(artifact["packages"] for artifact in artifacts))
    files = _versions(shared["code"], Counter(artifact["code"] for artifact in artifacts))
    return Environments(packages, [entry for entry in files if len(entry.versions) > 1])


def _versions(shared: Sequence[Mapping[str, str]], used: Mapping[int | None, int]) -> list[Versions]:
    versions: dict[str, Counter[str]] = defaultdict(Counter)
    for place, values in enumerate(shared):
        for key, version in values.items():
            versions[key][version] += used[place]
    order = sorted(versions, key=lambda key: (len(versions[key]) == 1, key.lower()))
    return [Versions(key, dict(sorted(versions[key].items()))) for key in order]


def machines(artifacts: Sequence[ArtifactEntry]) -> list[Machine]:
    """List the devices with the nodes and stages that computed on each."""
    members = grouped((device, artifact) for artifact in artifacts if (device := artifact["made"].get("device")))
    return [
        Machine(
            device,
            len(found),
            dict(Counter(node for artifact in found if (node := artifact["made"].get("node")))),
            dict(Counter(artifact["stage"] for artifact in found)),
            sum(artifact["made"].get("seconds") or 0 for artifact in found),
        )
        for device, found in sorted(members.items())
    ]


def costs(artifacts: Sequence[ArtifactEntry]) -> list[Cost]:
    """Sum what the records of the present artifacts say about time, memory and devices; the last row is the total."""
    made = [(artifact["stage"], artifact["made"]) for artifact in artifacts if artifact["made"]]
    if not made:
        return []
    return [_cost(*each) for each in [*grouped(made).items(), ("total", [record for _, record in made])]]


def _cost(stage: str, records: Sequence[Made]) -> Cost:
    cpu = sum(made.get("cpu_seconds") or 0 for made in records)
    gpu = sum(made["seconds"] for made in records if made["device"].startswith("cuda"))
    return Cost(
        stage,
        len(records),
        sum(made["seconds"] for made in records),
        cpu,
        gpu,
        max((made["peak_mb"] for made in records if made.get("peak_mb")), default=None),
        (cpu * CORE_WATTS + gpu * GPU_WATTS) / 3.6e6,
    )


def elsewhere(compared: Sequence[Comparison]) -> Elsewhere:
    """Summarize the comparisons with other machines."""
    order = sorted(compared, key=lambda entry: (entry["within"], -(entry["largest"] or 0.0)))
    equal = sum(bool(entry["equal"]) for entry in compared)
    within = sum(bool(entry["within"]) for entry in compared)
    return Elsewhere(equal, within - equal, len(compared) - within, order)


def weights(document: AuditDocument) -> list[Weights]:
    """List the encoders that settings name, with the digest of their weights."""
    used = Counter((artifact["stage"], artifact["settings"]) for artifact in document["artifacts"])
    found: Counter[tuple[str, str, str | None]] = Counter()
    for (stage, place), number in used.items():
        for where, encoder in _encoders(document["shared"]["settings"][place]) if place is not None else ():
            digest = encoder["digest"]
            of = f"{stage}, {where}" if where in {"OM", "IM", "TEM"} else stage
            found[of, str(encoder["name"]), None if digest is None else str(digest)] += number
    return [
        Weights(where, name, digest, number)
        for (where, name, digest), number in sorted(found.items(), key=lambda item: [str(part) for part in item[0]])
    ]


def _encoders(value: JSON, where: str = "") -> Iterator[tuple[str, Mapping[str, JSON]]]:
    """Find the encoders in the settings of any stage: objects with a name and a digest."""
    if isinstance(value, dict):
        if "name" in value and "digest" in value:
            yield where, value
        for key, inner in value.items():
            yield from _encoders(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _encoders(inner, where)
