"""Heavy packages that a short job does not import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

STAGES = Path(__file__).resolve().parents[2] / "scripts/nephroscale/stages"
#: Imports what a stage's module imports, in its functions too, and prints which of some packages were imported.
IMPORT = """
import ast, importlib, sys
tree = ast.parse(open(sys.argv[1]).read())
typing = {id(each) for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
          for each in ast.walk(node)}
for node in ast.walk(tree):
    if isinstance(node, ast.ImportFrom) and id(node) not in typing:
        importlib.import_module(node.module)
print(*[name for name in sys.argv[2:] if name in sys.modules])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "unused", "used"),
    [
        ("temperature", {"torch", "sklearn", "transformers"}, {"scipy"}),
        ("evaluate", {"sklearn", "scipy", "transformers"}, {"torch"}),
    ],
)
def test_a_job_imports_only_what_it_uses(stage: str, unused: set[str], used: set[str]) -> None:
    command = [sys.executable, "-c", IMPORT, str(STAGES / f"{stage}.py"), *sorted(unused | used)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == used
