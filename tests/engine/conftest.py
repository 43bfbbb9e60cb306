"""Fixtures of the tests of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nephroscale.engine.prepass import settle
from support.mock_study import Study

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Study:
    """Nine patients with everything made."""
    models = {"cmusnet": {}, "tem-only": {"modalities": ["TEM"]}}
    return Study.make(tmp_path_factory.mktemp("made"), models=models, files={"tiles": 3})


@pytest.fixture
def settled(made: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A copy of the study in which one run has found everything made."""
    copy = made.copy_to(tmp_path / "settled")
    monkeypatch.chdir(copy.folder)
    settle(copy.plan())
    return copy


@pytest.fixture(scope="session")
def twins(tmp_path_factory) -> Study:
    """Nine patients, and two models that are one but for the name."""
    models = {name: {"modalities": ["TEM"]} for name in ("one", "two")}
    return Study.make(tmp_path_factory.mktemp("twins"), models=models, files={"tiles": 14, "tem": 11})


@pytest.fixture
def study(twins, tmp_path, monkeypatch) -> Study:
    """A copy of it, to be changed; the process is in its folder."""
    copy = twins.copy_to(tmp_path / "study")
    monkeypatch.chdir(copy.folder)
    return copy
