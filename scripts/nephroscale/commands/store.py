"""Commands on the store: `verify`, `gc`, `export`, `import`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from nephroscale.commands.run import Commands, open_plan
from nephroscale.engine.past_reports import delete_reports
from nephroscale.engine.prepass import delete_outdated
from nephroscale.store import bundle, gc, results_index, verify

# Objects that `gc` lists one by one.
LISTED = 50


def add(commands: Commands) -> None:
    """Add the commands to the parser."""
    check = commands.add_parser(
        "verify", help="hash every object of the store again and report damage", run=verify_store
    )
    check.add_argument("--restart", action="store_true", help="start over instead of resuming an interrupted check")
    check.add_argument("--workers", type=int, metavar="N", help="number of processes (default: one per core)")
    garbage = commands.add_parser("gc", help="list or delete the objects that no receipt names", run=collect)
    garbage.add_argument("--delete", action="store_true", help="delete these objects")
    garbage.add_argument(
        "--keep-days", type=float, metavar="DAYS", default=1.0, help="keep objects younger than this (default: 1)"
    )
    garbage.add_argument(
        "--forget",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="unregister a results folder that is no longer needed (repeatable)",
    )
    garbage.add_argument(
        "--outdated",
        action="store_true",
        help="first delete the links to outdated artifacts (never reports, audits or predictions)",
    )
    garbage.add_argument(
        "--delete-reports-before", type=int, metavar="NUMBER", help="first delete the past reports with lower numbers"
    )
    out = commands.add_parser(
        "export", help="write results and everything that they come from into one tar file", run=export_results
    )
    out.add_argument("results", type=Path, nargs="+", metavar="RESULT", help="receipts, or folders of receipts")
    out.add_argument("file", type=Path, metavar="OUT.tar", help="file to write")
    into = commands.add_parser(
        "import", help="import exported results into the store, checking every byte", run=import_results
    )
    into.add_argument("file", type=Path, metavar="FILE.tar", help="a file that `export` wrote")


def verify_store(options: argparse.Namespace) -> int:
    """Hash every object again; set damaged ones aside and list the receipts that name them."""
    store = open_plan(options).store
    if not options.restart and (earlier := verify.interrupted(store)):
        print(f"Resuming the verification {earlier} (--restart starts over).")
    try:
        with tqdm(unit=" objects", disable=None) as bar:  # None: no bar where the output is not a terminal

            def report(progress: verify.VerificationProgress) -> None:
                bar.total = progress.total
                bar.set_postfix_str(f"{progress.size / 1e9:.1f} GB read", refresh=False)
                bar.update(progress.done - bar.n)

            damages = verify.verify(store, report, workers=options.workers, restart=options.restart)
    except KeyboardInterrupt:
        print("\nInterrupted. The next `nephroscale verify` resumes here.", file=sys.stderr)
        return 130
    count = Counter(damage.kind for damage in damages)
    intact = len(results_index.objects(store)) - count["unreadable"]
    print(
        f"Objects: {intact} intact, {count['damaged']} damaged (set aside), {count['missing']} missing, "
        f"{count['unreadable']} not readable by this user."
    )
    for damage in damages:
        print(f"{damage.digest}: {damage.fault}")
        for receipt in damage.receipts:
            print(f"  named by {receipt}")
        if not damage.receipts and damage.kind not in {"stray", "record"}:
            print("  named by no receipt")
    if count["damaged"] or count["missing"] or count["record"]:
        print("Run the workflow again to recompute what is damaged or missing.")
    return 1 if damages else 0


def collect(options: argparse.Namespace) -> None:
    """List or delete the objects that no receipt names."""
    plan = open_plan(options)
    store = plan.store
    if plan.results.is_dir():
        results_index.register_results(store, plan.results)
    if options.outdated:
        print(f"{delete_outdated(plan)} links to outdated artifacts deleted")
    if options.delete_reports_before:
        old = delete_reports(plan.results, options.delete_reports_before)
        print(f"past reports deleted: {', '.join(map(str, old)) or 'none'}")
    for folder in options.forget:
        results_index.forget_results(store, folder)
    found = gc.collect(store, keep_seconds=options.keep_days * 86400, delete=options.delete)
    verb = "deleted" if options.delete else "can be deleted (add --delete)"
    print(f"{len(found.objects)} objects, {sum(size for _, size in found.objects) / 1e6:.1f} MB, {verb}")
    listed = found.objects[:LISTED]
    makers = gc.makers(store, [digest for digest, _ in listed])
    for digest, size in listed:
        print(f"  {digest[:12]}  {size / 1e6:9.3f} MB  {makers.get(digest, 'no record')}")
    if len(found.objects) > LISTED:
        print(f"  and {len(found.objects) - LISTED} more")
    if found.leftovers:
        print(f"{len(found.leftovers)} scratch folders, checkpoints and pins of killed jobs, {verb}")
    if found.others:
        print(f"{len(found.others)} objects were kept: they belong to other users, who alone can delete them")
    absent = results_index.absent_results(store)
    for folder in results_index.registered_results(store):
        print(f"results in this store: {folder}{' (missing, or without receipts)' if folder in absent else ''}")


def export_results(options: argparse.Namespace) -> None:
    """Write results and everything that they come from into one file."""
    from nephroscale.engine.upstream import with_upstream

    plan = open_plan(options)
    contents = with_upstream(plan, options.results)
    size = bundle.write_bundle(plan.store, contents, options.file)
    print(
        f"{options.file}: {len(contents.items)} results with everything that they come from except raw images, "
        f"{size / 1e6:.1f} MB"
    )


def import_results(options: argparse.Namespace) -> None:
    """Import results from a file."""
    imported = bundle.read_bundle(open_plan(options).store, options.file)
    print(
        f"{imported.results} results: {imported.new} objects imported, {imported.known} already in the store. "
        "Every digest matches.\nWith the same raw files, tables, configuration and code, the workflow computes none of "
        "them again."
    )
