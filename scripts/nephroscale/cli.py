"""The command `nephroscale`: what there is to do beside running Snakemake."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nephroscale.commands import audit, features, run, store
from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Parser(argparse.ArgumentParser):
    """A parser that takes the configuration's path, as each parser of a command does: before the command or after."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        text = "configuration of the run (default config/config.yaml)"
        self.add_argument("--configfile", type=Path, default=argparse.SUPPRESS, help=text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status says whether all is well."""
    parser = Parser(prog="nephroscale", description=__doc__)
    parser.set_defaults(configfile=Path("config/config.yaml"))
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
