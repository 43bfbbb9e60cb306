"""The configuration that a command reads, and how errors are printed."""

import argparse
import os
import subprocess
import sys

import pytest

from nephroscale import __version__
from nephroscale.cli import main
from nephroscale.commands.run import read_config
from nephroscale.engine.environment import OVERRIDDEN, PINS
from nephroscale.errors import NephroscaleError


@pytest.fixture(autouse=True)
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text("data: {root: raw}\nmodels: {a: {}}\nresults: here\n")
    (tmp_path / "more.yaml").write_text("models: {b: {hidden: 3}}\n")
    (tmp_path / "whole.yaml").write_text("data: {root: other}\n")
    return tmp_path


def read(study, *files, config=()):
    return read_config(argparse.Namespace(configfile=[study / name for name in files], config=list(config)))


def test_configurations_are_merged_as_snakemake_does(study):
    assert read(study) == {"data": {"root": "raw"}, "models": {"a": {}}, "results": "here"}
    assert read(study, "more.yaml")["models"] == {"a": {}, "b": {"hidden": 3}}
    assert read(study, "whole.yaml", "more.yaml") == {"data": {"root": "other"}, "models": {"b": {"hidden": 3}}}
    changed = read(study, "more.yaml", config=["results=there", "models={b: {hidden: 5}}"])
    assert changed["results"] == "there"
    assert changed["models"] == {"a": {}, "b": {"hidden": 5}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: [", "not YAML"),
        ("data:\n\troot: raw", "line 2, column 1\n  fix: Indent with spaces"),
        ("- a", "has no keys"),
        ("", "has no keys"),
        (None, "cannot be read"),
    ],
)
def test_an_invalid_configuration_is_one_error_message(study, capsys, text, message):
    path = study / "faulty.yaml"
    if text is not None:
        path.write_text(text)
    assert main(["status", "--configfile", str(path)]) == 1
    printed = capsys.readouterr().err
    assert message in printed
    assert str(path) in printed
    assert "unicode string" not in printed
    assert "Traceback" not in printed


def test_a_value_without_a_key_is_refused(study):
    with pytest.raises(NephroscaleError, match="has no value"):
        read(study, config=["there"])


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"nephroscale {__version__}\n"


@pytest.mark.slow
def test_a_command_that_computes_starts_again_with_the_pins_and_keeps_what_they_override(study, tmp_path):
    starts = tmp_path / "starts"
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(
        f"import os\nvalues = [os.environ.get(n, '-') for n in ('OPENBLAS_CORETYPE', {OVERRIDDEN!r})]\n"
        f"open({str(starts)!r}, 'a').write(' '.join(values) + chr(10))\n"
    )
    free = {name: value for name, value in os.environ.items() if name not in {*PINS, OVERRIDDEN}}
    paths = os.pathsep.join([str(tmp_path / "site"), *sys.path])
    command = [sys.executable, "-m", "nephroscale", "replay", "features/P01"]
    environment = {**free, "OPENBLAS_CORETYPE": "Prescott", "PYTHONPATH": paths}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr  # the configuration is not complete
    assert starts.read_text().splitlines() == ["Prescott -", "Haswell OPENBLAS_CORETYPE=Prescott"]
