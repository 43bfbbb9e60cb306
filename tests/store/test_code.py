import pytest

from nephroscale.store import code as module
from nephroscale.store.code import Code, ParsedSources, read_source

EXCLUDED = ("nephroscale.engine", "nephroscale.errors")
FILES = {
    "make_it.py": "from nephroscale.engine.job import run\ndef make(job):\n    from nephroscale.r.work import f\n",
    "nephroscale/__init__.py": "",
    "nephroscale/errors.py": "",
    "nephroscale/errors_of_r.py": "",
    "nephroscale/engine/job.py": "import yaml\n",
    "nephroscale/r/__init__.py": "",
    "nephroscale/r/work.py": "import numpy\nfrom nephroscale.r import helper\nfrom nephroscale.errors import E\n"
    "from nephroscale import errors_of_r\n",
    "nephroscale/r/helper.py": "import typing as t\nif t.TYPE_CHECKING:\n    from nephroscale.r import types\n",
    "nephroscale/r/types.py": "",
    "nephroscale/r/chosen.py": "from cv2 import ximgproc\n",
    "nephroscale/r/table.json": "{}",
}


@pytest.fixture
def scripts(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def closure(scripts, *modules):
    return Code(scripts, scripts / "nephroscale", EXCLUDED).closure("make_it.py", modules)


def test_a_closure_holds_what_a_script_runs_and_nothing_else(scripts):
    code, imports, _ = closure(scripts)
    assert list(code) == [
        "make_it.py",
        "nephroscale/errors_of_r.py",
        "nephroscale/r/__init__.py",
        "nephroscale/r/helper.py",
        "nephroscale/r/table.json",
        "nephroscale/r/work.py",
    ]
    assert imports == ("numpy",)


def test_a_module_that_a_registry_chose_joins_the_closure(scripts):
    code, imports, modules = closure(scripts, "nephroscale.r.chosen")
    assert "nephroscale/r/chosen.py" in code
    assert imports == ("cv2", "numpy")
    assert modules == ("cv2", "cv2.ximgproc", "numpy")


def test_only_edits_of_code_that_runs_change_a_closure(scripts):
    before = closure(scripts)
    (scripts / "nephroscale/engine/job.py").write_text("import numpy\n")
    (scripts / "nephroscale/r/types.py").write_text("X = 1\n")
    assert closure(scripts) == before
    helper = scripts / "nephroscale/r/helper.py"
    helper.write_text('"""A docstring."""\n' + helper.read_text() + "# A comment.\n")
    assert closure(scripts) == before
    helper.write_text("X = 1\n")
    assert closure(scripts) != before


def test_data_files_count_by_their_bytes(scripts):
    before = closure(scripts)
    (scripts / "nephroscale/r/table.json").write_text("{ }")
    assert closure(scripts) != before


def test_an_installed_package_has_the_closure_of_its_checkout(scripts, tmp_path_factory):
    installed = tmp_path_factory.mktemp("site-packages") / "nephroscale"
    (scripts / "nephroscale").rename(installed)
    (installed / "scripts").mkdir()
    (scripts / "make_it.py").rename(installed / "scripts" / "make_it.py")
    found = Code(installed / "scripts", installed, EXCLUDED).closure("make_it.py")
    for name, text in FILES.items():
        (scripts / name).parent.mkdir(parents=True, exist_ok=True)
        (scripts / name).write_text(text)
    assert found == closure(scripts)


def test_imports_inside_functions_count():
    source = read_source(b"def f():\n    import torch\n    from nephroscale.a import b\n")
    assert source.inside == {"nephroscale.a", "nephroscale.a.b"}
    assert source.outside == {"torch"}


def test_parsed_sources_are_kept_and_a_damaged_file_is_not_used(tmp_path, monkeypatch):
    texts = [b"import torch.nn\nfrom nephroscale.a import b\n", b"X = 1\n"]
    first = ParsedSources(tmp_path / "code")
    expected = [first.read(text) for text in texts]
    assert (expected, first.grown) == ([read_source(text) for text in texts], True)
    first.path.parent.mkdir()
    first.path.write_text(first.text())
    monkeypatch.setattr(module, "read_source", lambda source: "parsed")
    second = ParsedSources(tmp_path / "code")
    assert ([second.read(text) for text in texts], second.grown) == (expected, False)
    first.path.write_text(first.text().replace("torch.nn", "torch.no"))
    assert ParsedSources(tmp_path / "code").read(texts[0]) == "parsed"
