"""Commands on encoders: `weights check`, `weights digest`, `weights prepare`."""

from __future__ import annotations

import argparse
from pathlib import Path

from nephroscale.commands.run import Commands, open_plan


def add(commands: Commands) -> None:
    """Add the commands to the parser."""
    weights = commands.add_parser(
        "weights", help="check or prepare the weights of encoders, or print the digest of a weights file"
    )
    actions = weights.add_subparsers(dest="action", required=True)
    actions.add_parser(
        "check", help="list the weights that the configuration needs, and known encoders", run=check_weights
    )
    digest = actions.add_parser(
        "digest", help="print the digest of a file or folder for the configuration", run=digest_of_weights
    )
    digest.add_argument("path", type=Path, metavar="PATH")
    actions.add_parser(
        "prepare", help="convert the weights that installed packages carry (once)", run=prepare_all_weights
    )


def check_weights(options: argparse.Namespace) -> int:
    """Print the weights that the configuration names, whether they can be used, and the known encoders."""
    from nephroscale.features.check_weights import check_encoders
    from nephroscale.features.known_encoders import KNOWN
    from nephroscale.stages.checks.configuration import configured_encoders

    entries = check_encoders(configured_encoders(open_plan(options).config))
    print("The configuration's encoders:")
    for entry in entries:
        print(f"  {'ok     ' if entry.usable else 'MISSING'} {entry.where}: {entry.name}, {entry.verdict}")
        if entry.weights:
            print(f"          {entry.weights}")
    print("\nKnown pretrained encoders (as of 2026; read the licence before use):")
    for known in KNOWN:
        print(f"  {known.title}: huggingface.co/{known.source}" + (" (access on request)" if known.gated else ""))
        print(f"      licence {known.licence}; pretrained on {known.pretrained_on}; maps {known.maps}")
        print(f"      `name: {known.encoder}`, then `weights:` and `digest:` (`nephroscale weights digest PATH`)")
    missing = [entry for entry in entries if not entry.usable]
    if missing:
        print(f"\n{len(missing)} of {len(entries)} encoders cannot be used. A run downloads nothing.")
    return 1 if missing else 0


def digest_of_weights(options: argparse.Namespace) -> None:
    """Print the digest of weights."""
    from nephroscale.features.weights import digest_weights

    print(digest_weights(options.path))


def prepare_all_weights(_options: argparse.Namespace) -> None:
    """Convert the weights that installed packages carry."""
    from nephroscale.features.convert_weights import prepare_weights
    from nephroscale.features.weights import PREPARED

    for name in PREPARED:
        print(f"{name}: {prepare_weights(name)}")
