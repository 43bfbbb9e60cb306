"""The configuration that a command reads, and how errors are printed."""

import argparse

import pytest

from nephroscale import __version__
from nephroscale.cli import main
from nephroscale.commands.run import read_config
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
