"""About the run: `status`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from nephroscale.engine.plan import Plan
from nephroscale.engine.status import summary
from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    import argparse

DEFAULT = Path("config/config.yaml")


def add(commands: Any) -> None:
    """Add the commands to the parser."""
    commands.add_parser("status", help="how far the run is, what was rejected, what failed").set_defaults(run=status)


def open_plan(options: argparse.Namespace) -> Plan:
    """Open the plan of the configuration that the command line names."""
    return Plan(read_config(options))


def read_config(options: argparse.Namespace) -> dict[str, Any]:
    """Put a configuration together as Snakemake does: files in their order, then `--config`, over the default one."""
    layers = [_section(_parse(_read(path), str(path)), str(path)) for path in options.configfile or []]
    for given in options.config or []:
        key, equals, value = given.partition("=")
        if not equals:
            raise NephroscaleError(f"{given!r} sets nothing.", where="--config", todo="Write KEY=VALUE.")
        layers.append({key: _parse(value, f"--config {key}")})
    if not any("data" in layer for layer in layers):
        layers.insert(0, _section(_parse(_read(DEFAULT), str(DEFAULT)), str(DEFAULT)))
    config: dict[str, Any] = {}
    for layer in layers:
        _lay_over(config, layer)
    return config


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as fault:
        raise NephroscaleError(
            f"The configuration cannot be read: {getattr(fault, 'strerror', None) or fault}.",
            where=str(path),
            todo="Name it by --configfile.",
        ) from None


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as fault:
        raise NephroscaleError(f"This is not YAML: {' '.join(str(fault).split())}.", where=where) from None


def _section(content: Any, where: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise NephroscaleError("The configuration has no keys.", where=where, todo="Write KEY: VALUE.")
    return content


def _lay_over(config: dict[str, Any], changes: dict[str, Any]) -> None:
    """Change a configuration in place; of sections that both have, key by key."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            _lay_over(config[key], value)
        else:
            config[key] = value


def status(options: argparse.Namespace) -> int:
    """Print how far a run is."""
    print(summary(open_plan(options)))
    return 0
