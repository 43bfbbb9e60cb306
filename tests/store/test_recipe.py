import pytest

from nephroscale.store.recipe import Code, imports_of, instruction_set


@pytest.fixture
def scripts(tmp_path):
    files = {
        "make_it.py": "from nephroscale.engine.job import run\ndef make(job):\n    from nephroscale.r.work import f\n",
        "nephroscale/__init__.py": "",
        "nephroscale/errors.py": "",
        "nephroscale/engine/job.py": "import yaml\n",
        "nephroscale/r/__init__.py": "",
        "nephroscale/r/work.py": "import numpy\nfrom nephroscale.r import helper\nfrom nephroscale.errors import E\n",
        "nephroscale/r/helper.py": "import typing as t\nif t.TYPE_CHECKING:\n    from nephroscale.r import types\n",
        "nephroscale/r/types.py": "",
        "nephroscale/r/chosen.py": "import cv2\n",
        "nephroscale/r/table.json": "{}",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_closure_holds_what_a_script_runs_and_nothing_else(scripts):
    code, packages = Code(scripts).closure("make_it.py")
    assert set(code) == {
        "make_it.py",
        "nephroscale/r/__init__.py",
        "nephroscale/r/helper.py",
        "nephroscale/r/table.json",
        "nephroscale/r/work.py",
    }
    assert set(packages) == {"python", "numpy"}


def test_a_registry_s_choice_joins_the_closure(scripts):
    code, packages = Code(scripts).closure("make_it.py", ("nephroscale.r.chosen",))
    assert "nephroscale/r/chosen.py" in code
    assert "opencv-python-headless" in packages


def test_only_edits_of_what_runs_change_a_closure(scripts):
    before = Code(scripts).closure("make_it.py")
    (scripts / "nephroscale/engine/job.py").write_text("import yaml  # edited\n")
    (scripts / "nephroscale/r/types.py").write_text("X = 1\n")
    assert Code(scripts).closure("make_it.py") == before
    (scripts / "nephroscale/r/helper.py").write_text("X = 1\n")
    assert Code(scripts).closure("make_it.py") != before


def test_imports_inside_functions_count():
    assert imports_of("def f():\n    import torch\n    from nephroscale.a import b\n") == (
        {"nephroscale.a", "nephroscale.a.b"},
        {"torch"},
    )


def test_the_instruction_set_is_the_one_that_torch_uses(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    assert instruction_set() == torch.backends.cpu.get_cpu_capability().replace("NO AVX", "DEFAULT")
    assert instruction_set("AVX2") == "AVX2"
