"""A small study of painted images whose configuration, tables and files a test spoils."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import pytest

from nephroscale.engine.plan import Plan
from nephroscale.stages.registry import stage_table
from support.small_study import small_config, write_study

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class SmallStudy:
    """A study in a folder, which is the current one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config: dict[str, Any] = small_config()

    def set(self, **sections: Any) -> None:
        for name, section in sections.items():
            self.config[name] = {**self.config.get(name, {}), **section}

    def change(self, table: str, change: Callable[[dict[str, str]], dict[str, str] | None]) -> None:
        """Change or drop each row of a table."""
        path = self.folder / f"{table}.csv"
        with path.open(newline="") as stream:
            rows = [row for each in csv.DictReader(stream) if (row := change(each))]
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(dict.fromkeys(name for row in rows for name in row)))
            writer.writeheader()
            writer.writerows(rows)

    def plan(self) -> Plan:
        return Plan(self.config, stage_table())


@pytest.fixture(scope="session")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checks") / "study"
    write_study(folder)
    return folder


@pytest.fixture
def study(painted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallStudy:
    for name in ("patients.csv", "images.csv"):
        (tmp_path / name).write_bytes((painted / name).read_bytes())
    (tmp_path / "raw").mkdir()
    for file in (painted / "raw").iterdir():
        (tmp_path / "raw" / file.name).symlink_to(file)
    monkeypatch.chdir(tmp_path)
    return SmallStudy(tmp_path)
