"""About encoders and bags: `weights`, `export-h5`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Add the commands to the parser."""
    weights = commands.add_parser("weights", help="digest of a weights file or folder, as the configuration wants it")
    weights.add_argument("path", type=Path)
    weights.set_defaults(run=digest_of_weights)
    export = commands.add_parser("export-h5", help="write a bag of features as h5, for CLAM or TRIDENT")
    export.add_argument("features", type=Path, help="a bag, such as results/features/P001-TEM.zarr")
    export.add_argument("out", type=Path)
    export.set_defaults(run=export_bag)


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
