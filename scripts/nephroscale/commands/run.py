"""The command `status`, and the configuration that every command reads."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TypeAlias, cast

import yaml

from nephroscale.engine.config import load_config
from nephroscale.engine.environment import set_numerical_environment
from nephroscale.engine.plan import Plan
from nephroscale.engine.prepass import find_out, outdated
from nephroscale.engine.snakemake.status import folder_summary, summary
from nephroscale.errors import NephroscaleError
from nephroscale.json_text import JSON
from nephroscale.provenance.why import changes
from nephroscale.stages.registry import stage_table

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001

DEFAULT = Path("config/config.yaml")
STUDY = Path("study.yaml")


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    commands.add_parser("status", help="print the progress of the run, what was rejected and what failed", run=status)


def enter_study(options: argparse.Namespace) -> None:
    """Change to the folder of a configuration called `study.yaml`, since its paths are relative to it."""
    folder = next((path.parent for path in options.configfile or [] if path.name == STUDY.name), None)
    if folder is None or not folder.is_dir():
        return
    for name, value in vars(options).items():  # other paths of the command line stay what they are
        if isinstance(value, Path):
            setattr(options, name, value.absolute())
        elif isinstance(value, list):
            setattr(options, name, [each.absolute() if isinstance(each, Path) else each for each in value])
    os.chdir(folder)


def set_environment(options: argparse.Namespace, *, restart: bool) -> None:
    """Set the environment of numerical libraries. If they are already imported, `restart` starts this command again."""
    compute = read_config(options).get("compute")
    if set_numerical_environment(compute if isinstance(compute, dict) else {}) and restart and "numpy" in sys.modules:
        sys.stdout.flush()
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606


def open_plan(options: argparse.Namespace, *, check_files: bool = False) -> Plan:
    """Open the plan of the configuration that the command line names."""
    return Plan(read_config(options), stage_table(), check_files=check_files)


def config_files(options: argparse.Namespace) -> list[Path]:
    """List the files of the configuration that the command line names."""
    return list(options.configfile or [_default()])


def read_config(options: argparse.Namespace) -> dict[str, JSON]:
    """Merge the configuration as Snakemake does: the default file, `--configfile` in order, then `--config`."""
    layers = [_section(_parse(_read(path), str(path)), str(path)) for path in options.configfile or []]
    for text in options.config or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise NephroscaleError(f"{text!r} has no value.", where="--config", fix="Write KEY=VALUE.")
        layers.append({key: _parse(value, f"--config {key}")})
    if not any("data" in layer for layer in layers):
        default = _default()
        layers.insert(0, _section(_parse(_read(default), str(default)), str(default)))
    config: dict[str, JSON] = {}
    for layer in layers:
        _update(config, layer)
    return config


def _default() -> Path:
    return STUDY if STUDY.is_file() else DEFAULT


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise NephroscaleError(
            f"The configuration cannot be read: {getattr(error, 'strerror', None) or error}.",
            where=str(path),
            fix="Name the file with --configfile.",
        ) from None


def _parse(text: str, where: str) -> JSON:
    try:
        return cast("JSON", yaml.safe_load(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = text.splitlines()[mark.line] if mark and mark.line < len(text.splitlines()) else ""
        raise NephroscaleError(
            f"This is not YAML: {getattr(error, 'problem', None) or error}.",
            where=f"{where}, line {mark.line + 1}, column {mark.column + 1}" if mark else where,
            fix="Indent with spaces: YAML takes no tabs." if "\t" in line else "",
        ) from None


def _section(content: JSON, where: str) -> dict[str, JSON]:
    if not isinstance(content, dict):
        raise NephroscaleError("The configuration has no keys.", where=where, fix="Write KEY: VALUE.")
    return content


def _update(config: dict[str, JSON], changes: dict[str, JSON]) -> None:
    """Change a configuration in place; sections that both have are merged key by key."""
    for key, value in changes.items():
        section = config.get(key)
        if isinstance(value, dict) and isinstance(section, dict):
            _update(section, value)
        else:
            config[key] = value


def status(options: argparse.Namespace) -> None:
    """Print the progress of a run. If the tables have faults, print these and the contents of the results folder."""
    config = load_config(read_config(options))
    try:
        plan = Plan(config, stage_table())
    except NephroscaleError:
        print(folder_summary(Path(config.results)))
        raise
    try:
        old = {key for key in find_out(plan).unknown if outdated(plan, *key)}
    except NephroscaleError as fault:  # a raw file is gone: what is on disk can still be described
        print(f"nephroscale: outdated artifacts are not counted, since an image cannot be read: {fault.what}")
        plan, old = Plan(config, stage_table()), set()
    print(summary(plan))
    if old:
        print("\nOutdated, and why:", *(f"  {line}" for line in changes(plan, old)), sep="\n")
