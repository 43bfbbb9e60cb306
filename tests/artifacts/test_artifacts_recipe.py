import pytest

from nephroscale.artifacts.recipe import Code, imports_of, instruction_set


@pytest.fixture
def scripts(tmp_path):
    files = {
        "make_it.py": "from nephroscale.stages.job import run_stage\ndef make(job):\n    from nephroscale.room.work import f\n",
        "nephroscale/__init__.py": "",
        "nephroscale/errors.py": "",
        "nephroscale/stages/job.py": "import yaml\n",
        "nephroscale/room/__init__.py": "",
        "nephroscale/room/work.py": "import numpy\nfrom nephroscale.room import helper\nfrom nephroscale.errors import E\n",
        "nephroscale/room/helper.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from nephroscale.room import types\n",
        "nephroscale/room/types.py": "",
        "nephroscale/room/chosen.py": "import cv2\n",
        "nephroscale/room/table.json": "{}",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_closure_holds_what_a_script_runs_and_nothing_else(scripts):
    code, packages = Code(scripts).closure("make_it.py")
    assert set(code) == {
        "make_it.py",
        "nephroscale/room/__init__.py",
        "nephroscale/room/helper.py",
        "nephroscale/room/table.json",
        "nephroscale/room/work.py",
    }
    assert set(packages) == {"python", "numpy"}


def test_a_registry_s_choice_joins_the_closure(scripts):
    code, packages = Code(scripts).closure("make_it.py", ("nephroscale.room.chosen",))
    assert "nephroscale/room/chosen.py" in code
    assert "opencv-python-headless" in packages


def test_only_edits_of_what_runs_change_a_closure(scripts):
    before = Code(scripts).closure("make_it.py")
    (scripts / "nephroscale/stages/job.py").write_text("import yaml  # edited\n")
    (scripts / "nephroscale/room/types.py").write_text("X = 1\n")
    assert Code(scripts).closure("make_it.py") == before
    (scripts / "nephroscale/room/helper.py").write_text("X = 1\n")
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
