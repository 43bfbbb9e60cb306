"""Compiled templates are kept beside their sources, and are used as long as these do not change."""

import sys

import jinja2
import pytest

from nephroscale.html import template_environment


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "page.j2").write_text("<p>{{ value }}</p>")
    return folder


def render(folder):
    return template_environment(folder).get_template("page.j2").render(value="a & b")


def kept(folder):
    return sorted((folder / "__pycache__").glob("*"))


@pytest.fixture
def compiled(monkeypatch):
    """The names of the templates that are compiled."""
    names, compile_ = [], jinja2.Environment.compile

    def compile_and_note(self, source, name=None, *rest, **named):
        names.append(name)
        return compile_(self, source, name, *rest, **named)

    monkeypatch.setattr(jinja2.Environment, "compile", compile_and_note)
    return names


def test_a_template_is_compiled_once_wherever_its_folder_is(folder, compiled):
    assert render(folder) == render(folder) == "<p>a &amp; b</p>"
    moved = folder.rename(folder.with_name("elsewhere"))
    assert render(moved) == "<p>a &amp; b</p>"
    assert compiled == ["page.j2"]
    assert [path.suffix for path in kept(moved)] == [".pyc"]


def test_an_edited_template_is_compiled_again(folder, compiled):
    render(folder)
    (folder / "page.j2").write_text("<b>{{ value }}</b>")
    assert render(folder) == "<b>a &amp; b</b>"
    assert compiled == ["page.j2"] * 2


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-5], lambda data: b"", lambda data: data[:40] + b"x" + data[41:]]
)
def test_a_damaged_file_is_not_used(folder, compiled, damage):
    render(folder)
    (path,) = kept(folder)
    path.write_bytes(damage(path.read_bytes()))
    assert render(folder) == "<p>a &amp; b</p>"
    assert compiled == ["page.j2"] * 2


def test_nothing_is_kept_where_python_keeps_nothing_or_cannot(folder, monkeypatch):
    (folder / "__pycache__").write_text("no folder")
    assert render(folder) == "<p>a &amp; b</p>"
    (folder / "__pycache__").unlink()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert render(folder) == "<p>a &amp; b</p>"
    assert kept(folder) == []
