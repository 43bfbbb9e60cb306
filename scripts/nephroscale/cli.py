"""The command `nephroscale`: what there is to do beside running Snakemake."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nephroscale.commands import audit, features, run, store
from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status says whether all is well."""
    parser = argparse.ArgumentParser(prog="nephroscale", description=__doc__)
    parser.add_argument("--configfile", type=Path, default=Path("config/config.yaml"), help="configuration of the run")
    commands = parser.add_subparsers(dest="command", required=True)
    for module in (run, audit, store, features):
        module.add(commands)
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except NephroscaleError as fault:
        print(f"nephroscale: {fault}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # such as `nephroscale trace report | head`
        sys.stderr.close()
        return 0


if __name__ == "__main__":
    sys.exit(main())
