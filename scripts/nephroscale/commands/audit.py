"""About where things come from: `audit`, `trace`, `diff`, `replay`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nephroscale.commands.run import open_plan

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Add the commands to the parser."""
    audit = commands.add_parser("audit", help="write results/audit: where every artifact came from, and what is stale")
    audit.set_defaults(run=write_audit)
    trace = commands.add_parser("trace", help="print the chain from an artifact back to raw files")
    trace.add_argument("artifact", help="stage/unit, the path of a receipt or its link, or a digest")
    trace.add_argument("--all", action="store_true", help="name every input, not one of many")
    trace.set_defaults(run=print_trace)
    diff = commands.add_parser("diff", help="say why two runs differ: the first artifacts that do, and the cause")
    diff.add_argument("runs", nargs=2, type=Path, metavar="RESULTS", help="results folder of a run")
    diff.set_defaults(run=print_difference)
    replay = commands.add_parser("replay", help="make one artifact again in a scratch folder and compare the bytes")
    replay.add_argument("artifact", help="stage/unit, the path of a receipt or its link, or a digest")
    replay.set_defaults(run=print_replay)


def write_audit(options: argparse.Namespace) -> int:
    """Write the audit of a run as it lies there, and say what does not match."""
    from nephroscale.provenance.audit import publish_audit

    plan = open_plan(options)
    receipt = publish_audit(plan)
    states = ", ".join(f"{count} {state}" for state, count in sorted(receipt.figures["states"].items()))
    print(f"{receipt.figures['artifacts']} artifacts: {states}; {receipt.figures['conflicts']} with conflicts.")
    print(f"Audit: {plan.link_path('audit', 'cohort') / 'index.html'}")
    wrong = sum(receipt.figures["states"].get(name, 0) for name in ("stale", "lost", "unrecorded"))
    return 1 if wrong + receipt.figures["conflicts"] else 0


def print_trace(options: argparse.Namespace) -> int:
    """Print the chain of an artifact."""
    from nephroscale.provenance.find import find_artifact
    from nephroscale.provenance.graph import read_graph
    from nephroscale.provenance.trace import trace

    plan = open_plan(options)
    graph = read_graph(plan)
    print(trace(graph, find_artifact(plan, graph, options.artifact), everything=options.all))
    return 0


def print_difference(options: argparse.Namespace) -> int:
    """Print why two runs differ; the exit status is 0 either way, as nothing is wrong."""
    from nephroscale.provenance.run_difference import compare_runs, open_run
    from nephroscale.stages.registry import ORDER

    first, second = (open_run(folder) for folder in options.runs)
    print(compare_runs(first, second, ORDER).text(ORDER))
    return 0


def print_replay(options: argparse.Namespace) -> int:
    """Make an artifact again and print whether it is the same."""
    from nephroscale.provenance.find import find_artifact
    from nephroscale.provenance.graph import read_graph
    from nephroscale.provenance.replay import replay

    plan = open_plan(options)
    graph = read_graph(plan)
    done = replay(plan, graph, find_artifact(plan, graph, options.artifact))
    name = f"{done.before.stage} of {done.before.unit}"
    if done.agrees:
        print(f"{name}: made again, the same: {done.after.digest or done.after.reason}")
        return 0
    print(f"{name}: made again, and different")
    print(f"  stored: {done.before.digest or done.before.reason}\n  now:    {done.after.digest or done.after.reason}")
    if done.distance:
        print(f"  {done.distance.sentence()}")
    return 1
