"""Command line of nephroscale: status, provenance, debugging and upkeep of runs of the workflow."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nephroscale import __version__
from nephroscale.commands import (
    audit,
    check,
    debug,
    estimate,
    export,
    features,
    forget,
    init,
    package,
    run,
    scales,
    store,
    unlock,
    workflow,
)
from nephroscale.errors import NephroscaleError, name_files

MODULES = (init, check, scales, estimate, workflow, run, audit, store, features, export, package, unlock, forget, debug)


class Parser(argparse.ArgumentParser):
    """A parser with the options of the configuration, which may come before the command or after it.

    Parameters
    ----------
    run
        What the command does: from the options to the exit status (None for 0).
    options
        As for `argparse.ArgumentParser`.
    """

    def __init__(self, *, run: Callable[[argparse.Namespace], int | None] | None = None, **options: Any) -> None:
        super().__init__(**options)
        if run:
            self.set_defaults(run=run)
        self.add_argument(
            "--configfile",
            type=Path,
            action="append",
            default=argparse.SUPPRESS,
            help="configuration of the run (default: study.yaml or config/config.yaml); later files override "
            "earlier ones (repeatable)",
        )
        self.add_argument(
            "--config",
            metavar="KEY=VALUE",
            action="append",
            default=argparse.SUPPRESS,
            help="value that overrides the configuration, as in `snakemake --config` (repeatable)",
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0 where all is well."""
    parser = Parser(prog="nephroscale", description=__doc__)
    parser.set_defaults(configfile=None, config=None, computes=False)
    parser.add_argument("--version", action="version", version=f"nephroscale {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for module in MODULES:
        module.add(commands)
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["run"] and words[1:2] not in (["-h"], ["--help"]):
        words.insert(1, "--")  # what follows is for Snakemake
    options = parser.parse_args(words)
    try:
        if options.computes:
            run.set_environment(options, restart=arguments is None)
        run.enter_study(options)
        return options.run(options) or 0
    except NephroscaleError as error:
        print("nephroscale: " + name_files(str(error), run.config_files(options)), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("nephroscale: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # such as `nephroscale trace report | head`
        sys.stderr.close()
        return 0
