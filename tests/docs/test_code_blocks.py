"""The code blocks of README and docs: shell blocks run, YAML loads, Python compiles.

A shell block runs in a copy of the checkout with the finished tiny cohort, in the environment of the installed wheel;
there ``make`` only prints its commands. A block marked long, slurm or gpu is parsed, not run.
"""

import ast
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from support.code_blocks import MARKS, PAGES, ROOT, Block, read_blocks
from support.installation import Installation
from support.project import Project

BLOCKS = [block for page in PAGES for block in read_blocks(page)]
SHELL = [block for block in BLOCKS if block.language in {"sh", "bash", "shell", "console"}]
PARSERS: dict[str, Callable[[str], object]] = {"yaml": yaml.safe_load, "json": json.loads, "python": ast.parse}
COMMAND = re.compile(r" {4,}(\$ |make |snakemake |nephroscale |python |pip |git |\.venv)")


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_marks_are_known(block: Block) -> None:
    assert block.marks <= MARKS
    assert not block.marks or block in SHELL, "only shell blocks are marked"


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_shell_blocks_parse(block: Block) -> None:
    assert block.language == "sh"
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in PARSERS], ids=str)
def test_yaml_json_and_python_blocks_parse(block: Block) -> None:
    PARSERS[block.language](block.text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_are_fenced(page: Path) -> None:
    fenced = {number for block in read_blocks(page) for number in block.lines}
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), start=1)
    indented = [line for number, line in lines if number not in fenced and COMMAND.match(line)]
    assert not indented, "an indented command is not checked: put it into a block ```sh"


def test_blocks_are_read_with_their_marks(tmp_path: Path) -> None:
    text = "a\n<!-- slurm -->\n```sh\none\n```\n1. b\n   ```sh long\n   two\n     three\n   ```\n```\nfour\n```\n"
    first, second, third = read_blocks(tmp_path / "page.md", text)
    assert (first.line, first.language, first.marks, first.text) == (3, "sh", {"slurm"}, "one\n")
    assert (second.line, second.language, second.marks, second.text) == (7, "sh", {"long"}, "two\n  three\n")
    assert (third.language, third.marks) == ("", frozenset())


@pytest.fixture(scope="module")
def study(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout whose environment is that of the wheel, with the tiny cohort as the demo, finished."""
    folder = tmp_path_factory.mktemp("docs") / "checkout"
    Project.check_out(folder)
    for name in ("Makefile", "docs", "envs", "benchmarks"):
        source = ROOT / name
        shutil.copytree(source, folder / name) if source.is_dir() else shutil.copy(source, folder / name)
    (folder / ".venv").symlink_to(installation.folder)
    config = yaml.safe_load((folder / "config/tiny.yaml").read_text())
    config["results"] = "results/demo"
    for name in ("config/config.yaml", "my-study.yaml"):  # the docs use both names
        (folder / name).write_text(yaml.safe_dump(config))
    # New patients, as docs/prediction.md names their files.
    generate = ("python", "resources/demo/generate.py", "new", "--out", "new_raw")
    assert installation.run(*generate, folder=folder).returncode == 0
    for name in ("patients", "images"):
        shutil.copy(folder / f"config/new/{name}.csv", folder / f"new_{name}.csv")
    finished = installation.run("snakemake", "--cores", "2", "all", folder=folder)
    assert finished.returncode == 0, finished.stdout
    return folder


@pytest.mark.long
@pytest.mark.workflow
def test_shell_blocks_run(installation: Installation, study: Path) -> None:
    """In one test: blocks of a page may use the files of earlier ones."""
    only_print = 'make() { command make -n "$@"; }\n'
    failed = []
    for block in (block for block in SHELL if not block.marks):
        done = installation.run("bash", "-euo", "pipefail", "-c", only_print + block.text, folder=study)
        if done.returncode:
            failed.append(f"{block}:\n{block.text}{done.stdout[-3000:]}")
    assert not failed, "\n".join(failed)
