"""About the run: `status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from nephroscale.errors import NephroscaleError
from nephroscale.stages.plan import Plan
from nephroscale.stages.summary import summary

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


def add(commands: Any) -> None:
    """Add the commands to the parser."""
    commands.add_parser("status", help="how far the run is, what was rejected, what failed").set_defaults(run=status)


def open_plan(options: argparse.Namespace) -> Plan:
    """Open the plan of the configuration that the command line names."""
    path: Path = options.configfile
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as fault:
        raise NephroscaleError(
            f"The configuration cannot be read: {fault.strerror}.", where=str(path), todo="Name it by --configfile."
        ) from None
    return Plan(yaml.safe_load(text))


def status(options: argparse.Namespace) -> int:
    """Print how far a run is."""
    print(summary(open_plan(options)))
    return 0
