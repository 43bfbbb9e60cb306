"""About the store: `verify`, `gc`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from nephroscale.artifacts import upkeep
from nephroscale.commands.run import open_plan

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Add the commands to the parser."""
    commands.add_parser("verify", help="hash every object of the store again").set_defaults(run=verify)
    gc = commands.add_parser("gc", help="list the objects that no receipt names")
    gc.add_argument("--delete", action="store_true", help="delete them")
    gc.add_argument("--keep-days", type=float, default=1.0, help="spare what is younger than this (default 1)")
    gc.set_defaults(run=collect)


def verify(options: argparse.Namespace) -> int:
    """Hash every object again; damaged ones are set aside and the receipts that they spoil are named."""
    store = open_plan(options).store

    def report(done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done} of {total} objects", end="", file=sys.stderr)

    damages = upkeep.verify(store, report)
    print(f"{len(upkeep.objects(store))} objects are sound, {len(damages)} were damaged and set aside.")
    for damage in damages:
        print(f"{damage.digest}: {damage.fault}")
        print("\n".join(f"  spoils {receipt}" for receipt in damage.receipts) or "  no receipt names it")
    if damages:
        print("Run the workflow again: they are made anew.")
    return 1 if damages else 0


def collect(options: argparse.Namespace) -> int:
    """List or delete what no receipt names."""
    found = upkeep.collect(open_plan(options).store, keep_seconds=options.keep_days * 86400, delete=options.delete)
    verb = "deleted" if options.delete else "could be deleted (add --delete)"
    print(f"{len(found)} objects, {sum(size for _, size in found) / 1e6:.1f} MB, {verb}")
    return 0
