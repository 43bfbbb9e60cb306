"""About encoders and bags: `weights check`, `weights digest`, `export-h5`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nephroscale.commands.run import open_plan

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Add the commands to the parser."""
    weights = commands.add_parser("weights", help="weights of encoders: what is missing, and a file's digest")
    actions = weights.add_subparsers(dest="action", required=True)
    check = actions.add_parser("check", help="which weights the configuration needs, and where to get known ones")
    check.set_defaults(run=check_weights)
    digest = actions.add_parser("digest", help="digest of a file or folder, as the configuration wants it")
    digest.add_argument("path", type=Path)
    digest.set_defaults(run=digest_of_weights)
    export = commands.add_parser("export-h5", help="write a bag of features as h5, for CLAM or TRIDENT")
    export.add_argument("features", type=Path, help="a bag, such as results/features/P001-TEM.zarr")
    export.add_argument("out", type=Path)
    export.set_defaults(run=export_bag)


def check_weights(options: argparse.Namespace) -> int:
    """Print which weights the configuration names and whether they are there, and the encoders that are known."""
    from nephroscale.features.check_weights import take_inventory
    from nephroscale.features.known_encoders import KNOWN

    entries = take_inventory(open_plan(options).config)
    print("The configuration's encoders:")
    for entry in entries:
        print(f"  {'ok     ' if entry.sound else 'MISSING'} {entry.where}: {entry.name}, {entry.verdict}")
        if entry.weights:
            print(f"          {entry.weights}")
    print("\nPretrained encoders that are known (facts of 2026; read the page's licence before use):")
    for known in KNOWN:
        print(f"  {known.title}: huggingface.co/{known.source}" + (" (ask for access there)" if known.gated else ""))
        print(f"      licence {known.licence}; learnt from {known.pretrained_on}; maps {known.maps}")
        print(f"      `name: {known.encoder}`, then `weights:` and `digest:` (`nephroscale weights digest PATH`)")
    missing = [entry for entry in entries if not entry.sound]
    if missing:
        print(
            f"\n{len(missing)} of {len(entries)} encoders cannot be used as they are. Nothing is downloaded by a run."
        )
    return 1 if missing else 0


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
