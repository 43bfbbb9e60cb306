"""Commands on provenance: `audit`, `trace`, `why`, `diff`, `replay`."""

from __future__ import annotations

import argparse
from pathlib import Path

from nephroscale.commands.run import Commands, open_plan
from nephroscale.engine.prepass import find_out
from nephroscale.errors import NephroscaleError
from nephroscale.provenance.find import find_artifact, find_unit
from nephroscale.provenance.graph import read_graph
from nephroscale.provenance.replay import Replay, replay
from nephroscale.provenance.trace import trace
from nephroscale.provenance.why import why


def add(commands: Commands) -> None:
    """Add the commands to the parser."""
    audit = commands.add_parser(
        "audit", help="write results/audit: the provenance and status of every artifact", run=write_audit
    )
    audit.add_argument(
        "--public",
        type=Path,
        metavar="OUT",
        help="write an audit for publication to this folder instead: without ids, names of files, paths, table "
        "rows and names of machines",
    )
    trace_parser = commands.add_parser(
        "trace", help="print everything that an artifact was made from, back to raw files", run=print_trace
    )
    trace_parser.add_argument(
        "artifact", metavar="ARTIFACT", help="STAGE/UNIT, the path of a receipt or its link, or a digest"
    )
    trace_parser.add_argument(
        "--all",
        action="store_true",
        help="print every input; by default, one example is printed where there are many similar ones",
    )
    why_parser = commands.add_parser(
        "why", help="explain why a unit would be recomputed: what changed since its last result", run=print_why
    )
    why_parser.add_argument("unit", metavar="STAGE/UNIT", help="a unit, such as tiles/P01-OM, or the path of a receipt")
    diff = commands.add_parser(
        "diff", help="explain why two runs differ: the first differing artifacts and the cause", run=print_difference
    )
    diff.add_argument("runs", nargs=2, type=Path, metavar="RESULTS", help="results folder of a run")
    replay_parser = commands.add_parser(
        "replay", help="recompute one artifact in a scratch folder and compare the bytes"
    )
    replay_parser.add_argument(
        "artifact", metavar="ARTIFACT", help="STAGE/UNIT, the path of a receipt or its link, or a digest"
    )
    replay_parser.set_defaults(run=print_replay, computes=True)
    adopt = commands.add_parser(
        "adopt", help="after an upgrade: keep a stage's artifacts if the new code gives the same bytes for a sample"
    )
    adopt.add_argument(
        "stage", metavar="STAGE", help="stage, such as tiles; begin with the first one that would run again"
    )
    adopt.add_argument("--sample", type=int, metavar="N", default=3, help="number of units to recompute (default: 3)")
    adopt.set_defaults(run=adopt_stage, computes=True)


def write_audit(options: argparse.Namespace) -> int:
    """Write the audit of a run in its present state; exit with 1 where any artifact does not match."""
    from nephroscale.provenance.audit import publish_audit
    from nephroscale.provenance.public import write_public_audit
    from nephroscale.provenance.status import STATUSES

    plan = open_plan(options)
    if options.public:
        write_public_audit(plan, options.public)
        print(f"Audit without ids and paths: {options.public / 'index.html'}")
        return 0
    figures = publish_audit(plan)
    states = ", ".join(f"{count} {STATUSES.get(state, state)}" for state, count in sorted(figures["states"].items()))
    print(f"{figures['artifacts']} artifacts: {states}; {figures['conflicts']} in conflict with another run.")
    print(f"Audit: {plan.link_path('audit', 'cohort') / 'index.html'}")
    outdated = sum(figures["states"].get(name, 0) for name in ("outdated", "lost", "unrecorded"))
    return 1 if outdated + figures["conflicts"] else 0


def print_trace(options: argparse.Namespace) -> None:
    """Print everything that an artifact was made from."""
    plan = open_plan(options)
    graph = read_graph(plan)
    print(trace(graph, find_artifact(plan, graph, options.artifact), everything=options.all))


def print_why(options: argparse.Namespace) -> int:
    """Print why a unit would be made again; the exit status is 0 in any case, since a change is no error."""
    plan = open_plan(options)
    unit = find_unit(plan, options.unit)
    find_out(plan)
    print(why(plan, *unit))
    return 0


def print_difference(options: argparse.Namespace) -> None:
    """Print why two runs differ; the exit status is 0 in any case, since a difference is no error."""
    from nephroscale.provenance.run_difference import compare_runs, open_run
    from nephroscale.stages.registry import ORDER

    first, second = (open_run(folder) for folder in options.runs)
    print(compare_runs(first, second, ORDER).text(ORDER))


def print_replay(options: argparse.Namespace) -> int:
    """Recompute an artifact and print whether the bytes are equal."""
    plan = open_plan(options)
    graph = read_graph(plan)
    done = replay(plan, graph, find_artifact(plan, graph, options.artifact))
    name = f"{done.before.stage} of {done.before.unit}"
    if done.agrees:
        print(f"{name}: recomputed, equal: {done.after.digest or done.after.reason}")
        return 0
    _print_difference(name, done)
    return 1


def _print_difference(name: str, done: Replay) -> None:
    print(f"{name}: recomputed, different")
    if done.agrees:
        print(f"  figures stored: {done.before.figures}\n  figures now:    {done.after.figures}")
        return
    print(f"  stored: {done.before.digest or done.before.reason}\n  now:    {done.after.digest or done.after.reason}")
    if done.distance:
        print(f"  {done.distance.sentence()}")


def adopt_stage(options: argparse.Namespace) -> int:
    """Keep the artifacts of earlier code where a sample has equal bytes; exit with 1 where any differs."""
    from nephroscale.provenance.adopt import adopt

    plan, name = open_plan(options), options.stage
    if name not in plan.stages or options.sample < 1:
        raise NephroscaleError(
            f"There is no stage {name!r}." if name not in plan.stages else "A sample has at least one unit.",
            where="adopt",
            fix=f"Name one of {', '.join(plan.stages)}, and --sample 1 or more.",
        )

    def report(unit: str, done: Replay) -> None:
        if done.agrees_wholly:
            print(f"{name} of {unit}: recomputed, equal")
        else:
            _print_difference(f"{name} of {unit}", done)

    done = adopt(plan, plan.stages[name], options.sample, report)
    if not done.candidates:
        print(f"Nothing of {name} to adopt: no unit differs from an earlier result only in code or packages.")
        return 0
    if not done.adopted:
        print(f"Nothing was adopted: the next run makes all {len(done.candidates)} units of {name} again.")
        return 1
    print(f"{len(done.candidates)} units of {name} adopted, of which {len(done.replays)} were recomputed.")
    return 0
