"""What the audit's page says in words and tables, before any artifact is looked at by itself."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from nephroscale.provenance.page_data import counted, run_of
from nephroscale.provenance.status import UNSOUND, behind_model, count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: The sentences that only pass on what happened further up, as :mod:`nephroscale.provenance.recipe_diff` writes them.
CONSEQUENCE = re.compile(r"the input .+ (changed|came in|went out)\b.*")
CONSEQUENCES = "an input changed, came in or went out"
#: Rows of one table and names in one row that are written out: a page is read by people.
MOST_ROWS, MOST_NAMES = 200, 12


def mismatches(artifacts: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Why artifacts are stale, one entry a sentence, as one edit makes hundreds stale.

    Returns
    -------
    groups
        Each ``text``, ``artifacts`` (how many), ``stages`` (stage to how many), ``names`` (some of them) and ``group``
        (its number); causes first, by how much they made stale, and at the end what only follows from a changed input.
    numbers
        Sentence to the number of its group.
    """
    members: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    heads: dict[str, str] = {}
    for artifact in artifacts:
        if artifact.get("state") == "current":  # it tells which raw files are not there now, and matches
            continue
        for text in artifact["because"]:
            heads[text] = CONSEQUENCES if CONSEQUENCE.fullmatch(text) else text
        for head in dict.fromkeys(heads[text] for text in artifact["because"]):
            members[head].append(artifact)
    order = sorted(members, key=lambda head: (head == CONSEQUENCES, -len(members[head]), head))
    groups = [
        {
            "group": number,
            "text": head,
            "artifacts": len(members[head]),
            "stages": count(artifact["stage"] for artifact in members[head]),
            "names": [artifact["name"] for artifact in members[head][:MOST_NAMES]],
        }
        for number, head in enumerate(order)
    ]
    places = {head: number for number, head in enumerate(order)}
    return groups, {text: places[head] for text, head in heads.items()}


def tally(document: Mapping[str, Any], standing: Sequence[str]) -> dict[str, int]:
    """How many artifacts there are of each standing, and what else a reader asks first."""
    artifacts = document["artifacts"]
    counts = Counter(standing)
    repeats = [repeat for artifact in artifacts for repeat in artifact["repeats"]]
    return {
        "artifacts": len(artifacts),
        **{name: counts[name] for name in ("match", "rests", "stale", "unrecorded", "lost", "rejected", "follows")},
        "conflicts": len(document["conflicts"]),
        "missing": len(document["missing"]),
        "uncommitted": sum(str(artifact["made"].get("git") or "").endswith("+") for artifact in artifacts),
        "repeats": len(repeats),
        "beyond": sum(not entry["within"] for entry in document.get("elsewhere", [])),
        "absent": sum(artifact["state"] == "current" and bool(artifact["because"]) for artifact in artifacts),
        "agreed": sum(bool(repeat["agrees"]) for repeat in repeats),
    }


def numbers(document: Mapping[str, Any], standing: Sequence[str]) -> dict[str, Any] | None:
    """The figures of the report, and what is behind those of each model; None where there is no report."""
    metrics = document["metrics"]
    if not metrics:
        return None
    models = []
    for name, found in metrics["models"].items():
        places = behind_model(document["artifacts"], name)
        models.append(
            {
                "name": name,
                "cases": counted(found),
                "pooled": {key: value for key, value in found["pooled"].items() if isinstance(value, dict)},
                "behind": len(places),
                "unsound": sum(standing[place] in UNSOUND for place in places),
            }
        )
    models.sort(key=lambda model: model["name"] != metrics["headline"])
    order = ("balanced_accuracy", "accuracy", "macro_auc", "macro_f1")
    keys = {key: None for model in models for key in model["pooled"]}
    return {
        "models": models,
        "headline": models[0],
        "metrics": {
            key: metric_name(key) for key in [*(k for k in order if k in keys), *(k for k in keys if k not in order)]
        },
    }


def metric_name(key: str) -> str:
    """The name of a figure for people: ``macro_auc`` is Macro AUC."""
    words = [{"auc": "AUC", "f1": "F1"}.get(word, word) for word in key.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def verdict(counts: Mapping[str, int], figures: Mapping[str, Any] | None) -> dict[str, Any]:
    """Whether one can rely on the results, in sentences: ``sound`` and ``sentences``."""
    total, off = counts["artifacts"], counts["stale"] + counts["unrecorded"] + counts["lost"]
    sentences = []
    if not total:
        sentences.append("Nothing has been made yet.")
    elif not off and not counts["missing"]:
        sentences.append("Every artifact is what the present code, configuration and data ask for.")
    elif off:
        sentences.append(
            f"{off} of {total} artifacts {_is(off)} not known to be what the present code, configuration and data"
            " ask for"
            + (f", and {counts['rests']} more rest{_s(counts['rests'])} on them." if counts["rests"] else ".")
        )
    if figures and off:
        name, behind, unsound = (figures["headline"][key] for key in ("name", "behind", "unsound"))
        sentences.append(
            f"Of the {behind} artifacts behind the headline numbers ({name}), {unsound} {_is(unsound)} among these:"
            " run the workflow again before the numbers are used."
            if unsound
            else f"None of them is behind the headline numbers ({name})."
        )
    if counts["missing"]:
        sentences.append(f"{_number(counts['missing'], 'artifact')} of the plan {_is(counts['missing'])} not made.")
    if counts["conflicts"]:
        sentences.append(
            f"{_number(counts['conflicts'], 'recipe')} gave something else when run again: equal code, settings, inputs"
            " and seed did not give equal bytes."
        )
    elif counts["repeats"]:
        sentences.append(f"{_number(counts['repeats'], 'artifact')} computed again came out equal to the byte.")
    if counts["beyond"]:
        sentences.append(
            f"{_number(counts['beyond'], 'artifact')} {_is(counts['beyond'])} further from what another machine gave"
            " than the tolerance allows."
        )
    if counts["absent"]:
        sentences.append(
            f"Raw files of {_number(counts['absent'], 'patient')} are not there now: what was made from them is judged"
            " by the digests that are recorded."
        )
    if counts["uncommitted"]:
        sentences.append(
            f"{_number(counts['uncommitted'], 'artifact')} {_was(counts['uncommitted'])} made by code with changes that"
            " no commit holds; the digest of each file is kept."
        )
    if not figures and total:
        sentences.append("There is no report, and so no headline number.")
    sound = not (off or counts["rests"] or counts["conflicts"] or counts["missing"]) and bool(total)
    return {"sound": sound, "sentences": sentences}


def _number(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _was(number: int) -> str:
    return "was" if number == 1 else "were"


def _s(number: int) -> str:
    return "s" if number == 1 else ""


def exclusions(excluded: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Who or what was left out, one entry a reason and who gave it."""
    members: dict[tuple[str, str], list[str]] = defaultdict(list)
    for entry in excluded:
        members[entry["by"], entry["reason"]].append(entry["what"])
    return [{"by": by, "reason": reason, "what": list(dict.fromkeys(what))} for (by, reason), what in members.items()]


def runs(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each run with what it made and what it took from earlier ones, newest first.

    ``reused`` maps an earlier run to how many of its artifacts went directly into what this run made.
    """
    artifacts = document["artifacts"]
    made_in = [run_of(artifact) for artifact in artifacts]
    taken: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    git: dict[str, dict[str, None]] = defaultdict(dict)
    for artifact, run in zip(artifacts, made_in, strict=True):
        if run is None:
            continue
        if artifact["made"].get("git"):
            git[run][artifact["made"]["git"]] = None
        for _, _, place in artifact["inputs"]:
            if place is not None and made_in[place] not in {None, run}:
                taken[run][str(made_in[place])].add(place)
    return [
        {
            **entry,
            "reused": {run: len(places) for run, places in sorted(taken[entry["run"]].items())},
            "git": list(git[entry["run"]]),
        }
        for entry in reversed(document["runs"])
    ]


def environments(document: Mapping[str, Any]) -> dict[str, Any]:
    """Versions of packages and of code files, each with how many artifacts they made; disagreements first.

    Returns
    -------
    dict
        ``packages``: each ``name`` and ``versions`` (version to artifacts); ``files``: the code files of which
        artifacts used different versions, alike, with digests.
    """
    used = {name: Counter(artifact[name] for artifact in document["artifacts"]) for name in ("packages", "code")}
    found = {}
    for name in ("packages", "code"):
        versions: dict[str, Counter[str]] = defaultdict(Counter)
        for place, values in enumerate(document["shared"][name]):
            for key, version in values.items():
                versions[key][version] += used[name][place]
        found[name] = [
            {"name": key, "versions": dict(sorted(versions[key].items()))}
            for key in sorted(versions, key=lambda key: (len(versions[key]) == 1, key.lower()))
        ]
    return {"packages": found["packages"], "files": [entry for entry in found["code"] if len(entry["versions"]) > 1]}


def machines(artifacts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Devices, with the nodes and stages that computed on each."""
    members: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for artifact in artifacts:
        if artifact["made"].get("device"):
            members[artifact["made"]["device"]].append(artifact)
    return [
        {
            "device": device,
            "artifacts": len(found),
            "nodes": count(str(artifact["made"].get("node")) for artifact in found),
            "stages": count(artifact["stage"] for artifact in found),
            "seconds": sum(artifact["made"].get("seconds") or 0 for artifact in found),
        }
        for device, found in sorted(members.items())
    ]


def elsewhere(compared: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What other machines gave for equal work: ``equal``, ``within``, ``beyond`` (counts), ``rows``, worst first."""
    order = sorted(compared, key=lambda entry: (entry["within"], -(entry["largest"] or 0.0)))
    equal = sum(bool(entry["equal"]) for entry in compared)
    within = sum(bool(entry["within"]) for entry in compared)
    return {"equal": equal, "within": within - equal, "beyond": len(compared) - within, "rows": order}


def weights(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The encoders that settings name, with the digest of their weights and how many artifacts used them."""
    used = Counter(artifact["settings"] for artifact in document["artifacts"])
    found: Counter[tuple[str, str, str | None]] = Counter()
    for place, settings in enumerate(document["shared"]["settings"]):
        for where, encoder in _encoders(settings):
            found[where, str(encoder["name"]), encoder.get("digest")] += used[place]
    return [
        {"where": where, "name": name, "digest": digest, "artifacts": number}
        for (where, name, digest), number in sorted(found.items(), key=lambda item: [str(part) for part in item[0]])
    ]


def _encoders(value: Any, where: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Walk settings to whatever has a name and may have a digest: encoders, wherever a stage keeps them."""
    if isinstance(value, dict):
        if "name" in value and "digest" in value:
            yield where, value
        for key, inner in value.items():
            yield from _encoders(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _encoders(inner, where)
