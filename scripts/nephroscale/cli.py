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
    """A parser that takes what makes the configuration, as each command's does: before the command or after it."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        told = "configuration of the run (default config/config.yaml); of several, the later ones are laid over"
        self.add_argument("--configfile", type=Path, action="append", default=argparse.SUPPRESS, help=told)
        told = "a value laid over the configuration, as `snakemake --config` takes it; may be repeated"
        self.add_argument("--config", metavar="KEY=VALUE", action="append", default=argparse.SUPPRESS, help=told)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status says whether all is well."""
    parser = Parser(prog="nephroscale", description=__doc__)
    parser.set_defaults(configfile=None, config=None)
    commands = parser.add_subparsers(dest="command", required=True)
    for module in (run, audit, store, features):
        module.add(commands)
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except NephroscaleError as fault:
        print(f"nephroscale: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("nephroscale: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # such as `nephroscale trace report | head`
        sys.stderr.close()
        return 0
