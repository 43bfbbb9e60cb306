"""The summary and the tables of the audit's page."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from nephroscale.provenance.page_data import describe_cases, run_of
from nephroscale.provenance.status import INVALID, ancestors_of_model, count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nephroscale.json_text import JSON
    from nephroscale.provenance.document_types import (
        ArtifactEntry,
        AuditDocument,
        Comparison,
        Estimate,
        Exclusion,
    )
    from nephroscale.store.records import Made

#: The sentences of :mod:`nephroscale.provenance.recipe_diff` about a change further upstream.
CONSEQUENCE = re.compile(r"the input .+ (changed|was added|was removed)\b.*")
CONSEQUENCES = "an input changed, was added or was removed"
#: Assumed power of a busy processor core and of a GPU, for the estimate of energy.
CORE_WATTS, GPU_WATTS = 10, 300
#: Rows of a table, and names in a row, that the page shows.
MOST_ROWS, MOST_NAMES = 200, 12


class Mismatch(NamedTuple):
    """One reason why artifacts are stale: its number, the artifacts in all and by stage, and the names of some."""

    group: int
    text: str
    artifacts: int
    stages: dict[str, int]
    names: list[str]


class ModelSummary(NamedTuple):
    """A model: name, cases, pooled figures, number of artifacts behind these figures, number of invalid ones."""

    name: str
    cases: str
    pooled: dict[str, Estimate]
    ancestors: int
    invalid: int


class Numbers(NamedTuple):
    """The figures of a report: all models, the headline model first, and the names of the figures for people."""

    models: list[ModelSummary]
    headline: ModelSummary
    metrics: dict[str, str]


class Verdict(NamedTuple):
    """Whether all results are valid, and the sentences of the summary."""

    valid: bool
    sentences: list[str]


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
    """Weights of an encoder that settings name, and the number of artifacts that used them."""

    where: str
    name: str
    digest: str | None
    artifacts: int


def mismatches(artifacts: Sequence[ArtifactEntry]) -> tuple[list[Mismatch], dict[str, int]]:
    """Group artifacts by the reason why they are stale, since one edit can make hundreds stale.

    Returns
    -------
    groups
        Causes first, by number of artifacts; consequences of a changed input last.
    numbers
        Sentence to the number of its group.
    """
    members: dict[str, list[ArtifactEntry]] = defaultdict(list)
    heads: dict[str, str] = {}
    for artifact in artifacts:
        if artifact["state"] == "current":  # its sentences are about missing raw files
            continue
        for text in artifact["because"]:
            heads[text] = CONSEQUENCES if CONSEQUENCE.fullmatch(text) else text
        for head in dict.fromkeys(heads[text] for text in artifact["because"]):
            members[head].append(artifact)
    order = sorted(members, key=lambda head: (head == CONSEQUENCES, -len(members[head]), head))
    groups = [
        Mismatch(
            number,
            head,
            len(members[head]),
            count(artifact["stage"] for artifact in members[head]),
            [artifact["name"] for artifact in members[head][:MOST_NAMES]],
        )
        for number, head in enumerate(order)
    ]
    places = {head: number for number, head in enumerate(order)}
    return groups, {text: places[head] for text, head in heads.items()}


def counts(document: AuditDocument, status: Sequence[str]) -> dict[str, int]:
    """Count the artifacts of each status, conflicts, missing units, repeats and the like."""
    artifacts = document["artifacts"]
    number = Counter(status)
    repeats = [repeat for artifact in artifacts for repeat in artifact["repeats"]]
    return {
        "artifacts": len(artifacts),
        **{
            name: number[name]
            for name in ("match", "stale_upstream", "stale", "unrecorded", "lost", "rejected", "follows")
        },
        "conflicts": len(document["conflicts"]),
        "missing": len(document["missing"]),
        "uncommitted": sum(str(artifact["made"].get("git") or "").endswith("+") for artifact in artifacts),
        "repeats": len(repeats),
        "beyond": sum(not entry["within"] for entry in document["elsewhere"]),
        "absent": sum(artifact["state"] == "current" and bool(artifact["because"]) for artifact in artifacts),
        "agreed": sum(bool(repeat["agrees"]) for repeat in repeats),
    }


def numbers(document: AuditDocument, status: Sequence[str]) -> Numbers | None:
    """Collect the figures of the report and count the ancestors of each model; None where there is no report."""
    metrics = document["metrics"]
    if not metrics:
        return None
    models = []
    for name, found in metrics["models"].items():
        places = ancestors_of_model(document["artifacts"], name)
        models.append(
            ModelSummary(
                name,
                describe_cases(found),
                {key: value for key, value in found["pooled"].items() if isinstance(value, dict)},
                len(places),
                sum(status[place] in INVALID for place in places),
            )
        )
    models.sort(key=lambda model: model.name != metrics["headline"])
    order = ("balanced_accuracy", "accuracy", "macro_auc", "macro_f1")
    keys = {key: None for model in models for key in model.pooled}
    ordered = [*(key for key in order if key in keys), *(key for key in keys if key not in order)]
    return Numbers(models, models[0], {key: metric_name(key) for key in ordered})


def metric_name(key: str) -> str:
    """Name a figure for people: ``macro_auc`` is Macro AUC."""
    words = [{"auc": "AUC", "f1": "F1"}.get(word, word) for word in key.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def verdict(counts: Mapping[str, int], figures: Numbers | None) -> Verdict:
    """Summarize whether the results are valid."""
    total, off = counts["artifacts"], counts["stale"] + counts["unrecorded"] + counts["lost"]
    downstream = counts["stale_upstream"]
    sentences = []
    if not total:
        sentences.append("Nothing has been made yet.")
    elif not off and not counts["missing"]:
        sentences.append("Every artifact matches the present code, configuration and data.")
    elif off:
        sentences.append(
            f"{off} of {total} artifacts do not match the present code, configuration and data"
            + (f"; {downstream} more {_was(downstream)} made from these." if downstream else ".")
        )
    if figures and off:
        headline = figures.headline
        sentences.append(
            f"{headline.invalid} of the {headline.ancestors} artifacts behind the headline figures ({headline.name}) "
            f"{_is(headline.invalid)} affected: run the workflow again before using the figures."
            if headline.invalid
            else f"None of the artifacts behind the headline figures ({headline.name}) is affected."
        )
    if counts["missing"]:
        sentences.append(f"{_number(counts['missing'], 'artifact')} of the plan {_is(counts['missing'])} not made yet.")
    if counts["conflicts"]:
        sentences.append(
            f"{_number(counts['conflicts'], 'recipe')} gave different results when run again: equal code, settings,"
            " inputs and seed did not give equal bytes."
        )
    elif counts["repeats"]:
        sentences.append(
            f"{_number(counts['repeats'], 'artifact')} computed again {_was(counts['repeats'])} byte-identical."
        )
    if counts["beyond"]:
        sentences.append(
            f"{_number(counts['beyond'], 'artifact')} {_is(counts['beyond'])} further from the result of another"
            " machine than the tolerance."
        )
    if counts["absent"]:
        sentences.append(
            f"Raw files of {_number(counts['absent'], 'patient')} are missing now: their recorded digests were used."
        )
    if counts["uncommitted"]:
        sentences.append(
            f"{_number(counts['uncommitted'], 'artifact')} {_was(counts['uncommitted'])} made by code with uncommitted "
            "changes; the digest of each file is recorded."
        )
    if not figures and total:
        sentences.append("There is no report yet, and no headline figure.")
    valid = not (off or counts["stale_upstream"] or counts["conflicts"] or counts["missing"]) and bool(total)
    return Verdict(valid, sentences)


def _number(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _was(number: int) -> str:
    return "was" if number == 1 else "were"


def exclusions(excluded: Sequence[Exclusion]) -> list[ExclusionGroup]:
    """Group what was left out by reason and by who decided it."""
    members: dict[tuple[str, str], list[str]] = defaultdict(list)
    for entry in excluded:
        members[entry["by"], entry["reason"]].append(entry["what"])
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
    members: dict[str, list[ArtifactEntry]] = defaultdict(list)
    for artifact in artifacts:
        if device := artifact["made"].get("device"):
            members[device].append(artifact)
    return [
        Machine(
            device,
            len(found),
            count(str(artifact["made"].get("node")) for artifact in found),
            count(artifact["stage"] for artifact in found),
            sum(artifact["made"].get("seconds") or 0 for artifact in found),
        )
        for device, found in sorted(members.items())
    ]


def costs(artifacts: Sequence[ArtifactEntry]) -> list[Cost]:
    """Sum what the records of the present artifacts say about time, memory and devices; the last row is the total."""
    made: dict[str, list[Made]] = defaultdict(list)
    for artifact in artifacts:
        if artifact["made"]:
            made[artifact["stage"]].append(artifact["made"])
    if not made:
        return []
    every = [record for records in made.values() for record in records]
    return [_cost(stage, records) for stage, records in [*made.items(), ("total", every)]]


def _cost(stage: str, records: Sequence[Made]) -> Cost:
    cpu = sum(made.get("cpu_seconds") or 0 for made in records)
    gpu = sum(made["seconds"] for made in records if made["device"].startswith("cuda"))
    peaks = [made["peak_mb"] for made in records if made.get("peak_mb")]
    energy = (cpu * CORE_WATTS + gpu * GPU_WATTS) / 3.6e6
    return Cost(
        stage, len(records), sum(made["seconds"] for made in records), cpu, gpu, max(peaks, default=None), energy
    )


def elsewhere(compared: Sequence[Comparison]) -> Elsewhere:
    """Summarize the comparisons with other machines."""
    order = sorted(compared, key=lambda entry: (entry["within"], -(entry["largest"] or 0.0)))
    equal = sum(bool(entry["equal"]) for entry in compared)
    within = sum(bool(entry["within"]) for entry in compared)
    return Elsewhere(equal, within - equal, len(compared) - within, order)


def weights(document: AuditDocument) -> list[Weights]:
    """List the encoders that settings name, with the digest of their weights."""
    used = Counter(artifact["settings"] for artifact in document["artifacts"])
    found: Counter[tuple[str, str, str | None]] = Counter()
    for place, settings in enumerate(document["shared"]["settings"]):
        for where, encoder in _encoders(settings):
            digest = encoder["digest"]
            found[where, str(encoder["name"]), None if digest is None else str(digest)] += used[place]
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
