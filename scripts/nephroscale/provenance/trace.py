"""The upstream tree of an artifact, back to raw files, as text for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from nephroscale.collect import grouped
from nephroscale.provenance.graph import CURRENT, Artifact, Graph

#: More inputs of one stage than this are shown as one example, unless all are wanted.
MOST_NAMED = 3
DIGITS = 12


def trace(graph: Graph, key: tuple[str, str], *, everything: bool = False) -> str:
    """Write an artifact and everything that it was made from as a tree.

    Parameters
    ----------
    graph
        The artifacts.
    key
        Stage and unit.
    everything
        Show every input; otherwise one example of many inputs of one stage.

    Returns
    -------
    str
        One line per artifact: name, digest, when and where it was made, and its faults; its inputs are indented below.
    """
    shown: set[tuple[str, str]] = set()
    return "\n".join(_lines(graph, key, "", shown, everything=everything))


def _lines(
    graph: Graph, key: tuple[str, str], indent: str, shown: set[tuple[str, str]], *, everything: bool
) -> Iterator[str]:
    artifact = graph.artifacts[key]
    again = key in shown
    yield indent + describe(artifact) + (" (as above)" if again and artifact.inputs else "")
    if again:
        return
    shown.add(key)
    yield from (f"{indent}    ! {sentence}" for sentence in artifact.because)
    distinct = {need.artifact or need.label: need for need in reversed(artifact.inputs)}  # parts of an artifact once
    by_stage = grouped((need.artifact[0] if need.artifact else "", need) for need in reversed(distinct.values()))
    for stage, needs in sorted(by_stage.items()):
        few = needs if everything or len(needs) <= MOST_NAMED else needs[:1]
        for need in few:
            if need.artifact:
                yield from _lines(graph, need.artifact, indent + "    ", shown, everything=everything)
            else:
                value = need.value[:DIGITS] if len(need.value) == 64 else need.value
                yield f"{indent}    {need.label}  {value}  {'raw' if '/' not in need.label else 'not in this run'}"
        if len(few) < len(needs):
            yield f"{indent}    and {len(needs) - len(few)} more of {stage or 'the raw files'} (--all shows them)"


def describe(artifact: Artifact) -> str:
    """Describe an artifact in one line."""
    receipt, made = artifact.receipt, artifact.made
    git, conflicts = made.get("git"), sum(not repeat["agrees"] for repeat in artifact.repeats)
    words = [
        artifact.name,
        receipt.digest[:DIGITS] if receipt.digest else f"rejected: {receipt.reason}",
        f"{made['started']} on {made['node']} ({made['device']}), {made['seconds']:.1f} s" if made else "",
        f"code {git[:DIGITS]}{'+' if git.endswith('+') else ''}" if git else "",
        "adopted by later code" if made.get("adopted") else "",
        f"[{artifact.state}]" if artifact.state != CURRENT else "",
        f"[{conflicts} later runs of the same recipe gave other bytes]" if conflicts else "",
    ]
    return "  ".join(filter(None, words))
