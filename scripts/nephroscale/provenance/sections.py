"""The summary of the audit's page: what does not match, and what the figures rest on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nephroscale.collect import grouped
from nephroscale.provenance.document_types import (
    ArtifactEntry,
    AuditDocument,
    EstimateEntry,
)
from nephroscale.provenance.page_data import describe_cases
from nephroscale.provenance.status import INVALID, ancestors_of_model
from nephroscale.text import count_of

#: The sentences of :mod:`nephroscale.provenance.recipe_diff` about a change further upstream.
CONSEQUENCE = re.compile(r"the input .+ (changed|was added|was removed)\b.*")
CONSEQUENCES = "an input changed, was added or was removed"
#: Rows of a table, and names in a row, that the page shows.
MOST_ROWS, MOST_NAMES = 200, 12


class Mismatch(NamedTuple):
    """One reason why artifacts are outdated: its number, the artifacts in all and by stage, and the names of some."""

    group: int
    text: str
    artifacts: int
    stages: dict[str, int]
    names: list[str]


class ModelSummary(NamedTuple):
    """A model: name, cases, pooled figures, number of artifacts behind these figures, number of invalid ones."""

    name: str
    cases: str
    pooled: dict[str, EstimateEntry]
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


def mismatches(artifacts: Sequence[ArtifactEntry]) -> tuple[list[Mismatch], dict[str, int]]:
    """Group artifacts by the reason why they are outdated, since one edit can make hundreds outdated.

    Returns
    -------
    groups
        Causes first, by number of artifacts; consequences of a changed input last.
    numbers
        Sentence to the number of its group.
    """
    # The sentences of current ones are about missing raw files.
    outdated = [artifact for artifact in artifacts if artifact["state"] != "current"]
    heads = {
        text: CONSEQUENCES if CONSEQUENCE.fullmatch(text) else text
        for artifact in outdated
        for text in artifact["because"]
    }
    members = grouped(
        (head, artifact) for artifact in outdated for head in dict.fromkeys(heads[text] for text in artifact["because"])
    )
    order = sorted(members, key=lambda head: (head == CONSEQUENCES, -len(members[head]), head))
    groups = [
        Mismatch(
            number,
            head,
            len(members[head]),
            dict(Counter(artifact["stage"] for artifact in members[head])),
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
            for name in ("match", "outdated_upstream", "outdated", "unrecorded", "lost", "rejected", "follows")
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
    return Numbers(
        models,
        models[0],
        {
            key: metric_name(key)
            for key in [*(key for key in order if key in keys), *(key for key in keys if key not in order)]
        },
    )


def metric_name(key: str) -> str:
    """Name a figure for people: ``macro_auc`` is Macro AUC."""
    words = [{"auc": "AUC", "f1": "F1"}.get(word, word) for word in key.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def verdict(counts: Mapping[str, int], figures: Numbers | None) -> Verdict:
    """Summarize whether the results are valid."""
    total, off = counts["artifacts"], counts["outdated"] + counts["unrecorded"] + counts["lost"]
    downstream = counts["outdated_upstream"]
    sentences: list[tuple[object, str]] = [
        (not total, "Nothing has been made yet."),
        (
            total and not off and not counts["missing"],
            "Every artifact matches the present code, configuration and data.",
        ),
        (
            off,
            f"{off} of {total} artifacts do not match the present code, configuration and data"
            + (f"; {downstream} more {_was(downstream)} made from these." if downstream else "."),
        ),
        (off and figures, _describe_headline(figures.headline) if figures else ""),
        (
            counts["missing"],
            f"{count_of(counts['missing'], 'artifact')} of the plan {_is(counts['missing'])} not made yet.",
        ),
        (
            counts["conflicts"],
            (
                f"{count_of(counts['conflicts'], 'recipe')} gave different results when run again: equal code, "
                "settings, inputs and seed did not give equal bytes."
            ),
        ),
        (
            counts["repeats"] and not counts["conflicts"],
            f"{count_of(counts['repeats'], 'artifact')} computed again {_was(counts['repeats'])} byte-identical.",
        ),
        (
            counts["beyond"],
            (
                f"{count_of(counts['beyond'], 'artifact')} {_is(counts['beyond'])} further from the result of another"
                " machine than the tolerance."
            ),
        ),
        (
            counts["absent"],
            f"Raw files of {count_of(counts['absent'], 'patient')} are missing now: their recorded digests were used.",
        ),
        (
            counts["uncommitted"],
            (
                f"{count_of(counts['uncommitted'], 'artifact')} {_was(counts['uncommitted'])} made by code with "
                "uncommitted changes; the digest of each file is recorded."
            ),
        ),
        (total and not figures, "There is no report yet, and no headline figure."),
    ]
    return Verdict(
        not (off or counts["outdated_upstream"] or counts["conflicts"] or counts["missing"]) and bool(total),
        [sentence for holds, sentence in sentences if holds],
    )


def _describe_headline(headline: ModelSummary) -> str:
    if not headline.invalid:
        return f"None of the artifacts behind the headline figures ({headline.name}) is affected."
    return (
        f"{headline.invalid} of the {headline.ancestors} artifacts behind the headline figures ({headline.name}) "
        f"{_is(headline.invalid)} affected: run the workflow again before using the figures."
    )


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _was(number: int) -> str:
    return "was" if number == 1 else "were"
