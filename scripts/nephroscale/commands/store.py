"""About the store: `verify`, `gc`, `export`, `import`."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nephroscale.commands.run import open_plan
from nephroscale.store import bundle, gc, results_index, verify

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

# Objects that `gc` names one by one.
LISTED = 50


def add(commands: Any) -> None:
    """Add the commands to the parser."""
    check = commands.add_parser("verify", help="hash every object of the store again")
    check.add_argument(
        "--restart", action="store_true", help="begin anew instead of taking up one that was interrupted"
    )
    check.add_argument("--workers", type=int, help="processes (default: one for each core)")
    check.set_defaults(run=verify_store)
    gc = commands.add_parser("gc", help="list the objects that no receipt names")
    gc.add_argument("--delete", action="store_true", help="delete them")
    gc.add_argument("--keep-days", type=float, default=1.0, help="spare what is younger than this (default 1)")
    gc.add_argument(
        "--forget",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="take a results folder off the register: its results are no longer wanted (repeatable)",
    )
    gc.set_defaults(run=collect)
    out = commands.add_parser("export", help="write results with all that they come from into one tar file")
    out.add_argument("results", type=Path, nargs="+", metavar="RESULT", help="receipts, or folders of receipts")
    out.add_argument("file", type=Path, metavar="OUT.tar")
    out.set_defaults(run=export_results)
    into = commands.add_parser("import", help="take exported results into the store, checking every byte")
    into.add_argument("file", type=Path)
    into.set_defaults(run=import_results)


def verify_store(options: argparse.Namespace) -> int:
    """Hash every object again; damaged ones are set aside and the receipts that they spoil are named."""
    store = open_plan(options).store
    if not options.restart and (earlier := verify.resumes(store)):
        print(f"Taking up the verification {earlier} (--restart begins anew).")
    bar = progress_bar() if sys.stderr.isatty() else None
    try:
        damages = verify.verify(store, bar, workers=options.workers, restart=options.restart)
    except KeyboardInterrupt:
        print("\nInterrupted: the next `nephroscale verify` goes on from here.", file=sys.stderr)
        return 130
    if bar:
        print(file=sys.stderr)
    count = Counter(damage.kind for damage in damages)
    sound = len(results_index.objects(store)) - count["unreadable"]
    print(
        f"{sound} objects are sound, {count['damaged']} were damaged and "
        f"set aside, {count['missing']} are missing, {count['unreadable']} {verify.UNREADABLE}."
    )
    for damage in damages:
        print(f"{damage.digest}: {damage.fault}")
        for receipt in damage.receipts:
            print(f"  spoils {receipt}")
        if not damage.receipts and damage.kind not in {"stray", "record"}:
            print("  no receipt names it")
    if count["damaged"] or count["missing"] or count["record"]:
        print("Run the workflow again: what is missing or was changed is made anew.")
    return 1 if damages else 0


def progress_bar() -> Callable[[verify.Progress], None]:
    """Make the function that draws the progress on one line of the screen, at most ten times a second."""
    began, last, first = time.monotonic(), [0.0], [-1]

    def draw(progress: verify.Progress) -> None:
        now = time.monotonic()
        if first[0] < 0:
            first[0] = progress.done
        if progress.done < progress.total and now - last[0] < 0.1:
            return
        last[0] = now
        print(f"\r{progress_line(progress, first[0], now - began)}\x1b[K", end="", file=sys.stderr, flush=True)

    return draw


def progress_line(progress: verify.Progress, first: int, seconds: float) -> str:
    """Describe how far a verification is.

    Objects are visited in the order of their digests, which have nothing to do with their sizes: the share of objects
    tells the share of bytes well enough for the time left.

    Parameters
    ----------
    progress
        How far it is.
    first
        Objects that an earlier session had done.
    seconds
        Since this session began.
    """
    share = progress.done / progress.total if progress.total else 1.0
    bar = "#" * round(share * 30)
    text = f"[{bar:<30}] {share:4.0%}  {progress.done} of {progress.total} objects, {progress.size / 1e9:.1f} GB"
    if seconds > 0.5 and progress.done > first:
        left = seconds / (progress.done - first) * (progress.total - progress.done)
        text += f", {progress.size / seconds / 1e6:.0f} MB/s, {_duration(left)} left"
    return text


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def collect(options: argparse.Namespace) -> int:
    """List or delete what no receipt names."""
    plan = open_plan(options)
    store = plan.store
    if plan.results.is_dir():
        results_index.register_results(store, plan.results)
    for folder in options.forget:
        results_index.forget_results(store, folder)
    found = gc.collect(store, keep_seconds=options.keep_days * 86400, delete=options.delete)
    verb = "deleted" if options.delete else "could be deleted (add --delete)"
    print(f"{len(found.objects)} objects, {sum(size for _, size in found.objects) / 1e6:.1f} MB, {verb}")
    listed = found.objects[:LISTED]
    makers = gc.makers(store, [digest for digest, _ in listed])
    for digest, size in listed:
        print(f"  {digest[:12]}  {size / 1e6:9.3f} MB  {makers.get(digest, 'no record')}")
    if len(found.objects) > LISTED:
        print(f"  and {len(found.objects) - LISTED} more")
    if found.left:
        print(f"{len(found.left)} scratch folders, checkpoints and pins of killed jobs, {verb}")
    if found.others:
        print(f"{len(found.others)} objects belong to other users, who alone can delete them: they were left")
    absent = results_index.absent_results(store)
    for folder in results_index.registered_results(store):
        print(f"registered: {folder}{' (absent, or without any receipt)' if folder in absent else ''}")
    return 0


def export_results(options: argparse.Namespace) -> int:
    """Write results with their closure into one file."""
    from nephroscale.engine.upstream import closure_of

    plan = open_plan(options)
    contents = closure_of(plan, options.results)
    size = bundle.write_bundle(plan.store, contents, options.file)
    print(f"{options.file}: {len(contents.items)} results, with all they come from but raw images, {size / 1e6:.1f} MB")
    return 0


def import_results(options: argparse.Namespace) -> int:
    """Take results from a file."""
    taken = bundle.read_bundle(open_plan(options).store, options.file)
    print(
        f"{taken.results} results: {taken.new} objects taken in, {taken.known} were there already; every digest agrees."
    )
    print("Run the workflow: with the same raw files, tables, configuration and code it computes none of them again.")
    return 0
