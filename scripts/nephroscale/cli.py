"""The command `nephroscale`: what there is to do beside running Snakemake."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from nephroscale.artifacts import upkeep
from nephroscale.errors import NephroscaleError
from nephroscale.stages.plan import Plan
from nephroscale.stages.summary import summary

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status says whether all is well."""
    parser = argparse.ArgumentParser(prog="nephroscale", description=__doc__)
    parser.add_argument("--configfile", type=Path, default=Path("config/config.yaml"), help="configuration of the run")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("status", help="how far the run is, what was rejected, what failed").set_defaults(run=status)
    commands.add_parser("verify", help="hash every object of the store again").set_defaults(run=verify)
    gc = commands.add_parser("gc", help="list the objects that no receipt names")
    gc.add_argument("--delete", action="store_true", help="delete them")
    gc.add_argument("--keep-days", type=float, default=1.0, help="spare what is younger than this (default 1)")
    gc.set_defaults(run=collect)
    weights = commands.add_parser("weights", help="digest of a weights file or folder, as the configuration wants it")
    weights.add_argument("path", type=Path)
    weights.set_defaults(run=digest_of_weights)
    export = commands.add_parser("export-h5", help="write a bag of features as h5, for CLAM or TRIDENT")
    export.add_argument("features", type=Path, help="a bag, such as results/features/P001-TEM.zarr")
    export.add_argument("out", type=Path)
    export.set_defaults(run=export_bag)
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except NephroscaleError as fault:
        print(f"nephroscale: {fault}", file=sys.stderr)
        return 1


def _plan(options: argparse.Namespace) -> Plan:
    try:
        text = options.configfile.read_text(encoding="utf-8")
    except OSError as fault:
        raise NephroscaleError(
            f"The configuration cannot be read: {fault.strerror}.",
            where=str(options.configfile),
            todo="Name it by --configfile.",
        ) from None
    return Plan(yaml.safe_load(text))


def status(options: argparse.Namespace) -> int:
    """Print how far a run is."""
    print(summary(_plan(options)))
    return 0


def verify(options: argparse.Namespace) -> int:
    """Hash every object again; damaged ones are set aside and the receipts that they spoil are named."""
    store = _plan(options).store

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
    found = upkeep.collect(_plan(options).store, keep_seconds=options.keep_days * 86400, delete=options.delete)
    verb = "deleted" if options.delete else "could be deleted (add --delete)"
    print(f"{len(found)} objects, {sum(size for _, size in found) / 1e6:.1f} MB, {verb}")
    return 0


def digest_of_weights(options: argparse.Namespace) -> int:
    """Print the digest of weights."""
    from nephroscale.features.weights import digest_weights

    print(digest_weights(options.path))
    return 0


def export_bag(options: argparse.Namespace) -> int:
    """Write a bag as h5."""
    from nephroscale.features.h5 import export_h5

    figures = export_h5(options.features, options.out)
    print(f"{options.out}: {figures['instances']} instances of {figures['channels']} channels")
    return 0


if __name__ == "__main__":
    sys.exit(main())
