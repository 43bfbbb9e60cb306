"""Recipes: the digest of everything that decides an artifact, computed from files alone."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import platform
import sys
from functools import cache
from pathlib import Path

from nephroscale.store.digest import digest_bytes, digest_file

PACKAGE = "nephroscale"
# These decide where artifacts go and what is made, never what is in them: their effect enters a recipe as values
# (rows, settings, inputs), so an edit here recomputes nothing.
EXCLUDED_ROOMS = (
    "nephroscale.store",
    "nephroscale.engine",
    "nephroscale.stages",
    "nephroscale.errors",
    "nephroscale.cli",
    "nephroscale.digest_on_write",
)
# Where the name to import is not the name of the distribution, or another one decides what comes out.
DISTRIBUTIONS = {
    "cv2": ("opencv-python-headless",),
    "skimage": ("scikit-image",),
    "sklearn": ("scikit-learn",),
    "PIL": ("pillow",),
    "yaml": ("PyYAML",),
    "openslide": ("openslide-python", "openslide-bin"),
    "tifffile": ("tifffile", "imagecodecs"),
    "zarr": ("zarr", "numcodecs"),
}


class Code:
    """The closure of project modules behind a script, read from the files as they are now.

    Nothing is imported. Answers are remembered for the life of the instance: make a new one to look again.

    Parameters
    ----------
    scripts
        The folder that holds the scripts and the package.
    """

    def __init__(self, scripts: Path) -> None:
        self.scripts = Path(scripts)
        self._imports: dict[Path, tuple[set[str], set[str]]] = {}
        self._closures: dict[tuple[str, tuple[str, ...]], tuple[dict[str, str], dict[str, str]]] = {}
        self._digests: dict[Path, str] = {}

    def closure(self, script: str, modules: tuple[str, ...] = ()) -> tuple[dict[str, str], dict[str, str]]:
        """Collect what a script runs.

        Parameters
        ----------
        script
            File name in the folder of scripts.
        modules
            Project modules that a registry chose for this unit of work and that no import statement names.

        Returns
        -------
        code
            Path relative to the folder of scripts, and its digest: the script, every project module that it imports,
            directly or not, and the data files that lie beside those modules.
        packages
            The versions of the third-party distributions that they import, and of Python.
        """
        key = (script, modules)
        if key not in self._closures:
            self._closures[key] = self._collect(script, modules)
        return self._closures[key]

    def _collect(self, script: str, modules: tuple[str, ...]) -> tuple[dict[str, str], dict[str, str]]:
        files: set[Path] = set()
        outside: set[str] = set()
        pending = [self.scripts / script]
        for module in modules:
            pending += self._files(module)
        while pending:
            path = pending.pop()
            if path in files:
                continue
            files.add(path)
            inside, third = self._imports_of(path)
            outside |= third
            for module in inside:
                pending += self._files(module)
        folders = {path.parent for path in files if path.name != script and path.parent.name != PACKAGE}
        files |= {data for folder in folders for data in _data_in(folder)}
        code = {path.relative_to(self.scripts).as_posix(): self._digest(path) for path in files}
        packages = {"python": platform.python_version()}
        for name in outside:
            for distribution in DISTRIBUTIONS.get(name, (name,)):
                packages[distribution] = version(distribution)
        return dict(sorted(code.items())), dict(sorted(packages.items()))

    def _files(self, module: str) -> list[Path]:
        """The files that importing a module runs: itself and the `__init__` of the folders above it."""
        if module == PACKAGE or module.startswith(EXCLUDED_ROOMS):
            return []
        parts = module.split(".")
        files = [self.scripts.joinpath(*parts[:depth], "__init__.py") for depth in range(2, len(parts) + 1)]
        files.append(self.scripts.joinpath(*parts).with_suffix(".py"))
        return [path for path in files if path.is_file()]

    def _digest(self, path: Path) -> str:
        if path not in self._digests:
            self._digests[path] = digest_file(path)
        return self._digests[path]

    def _imports_of(self, path: Path) -> tuple[set[str], set[str]]:
        if path not in self._imports:
            source = path.read_bytes()
            self._digests[path] = digest_bytes(source)
            self._imports[path] = _imports_of_source(source)
        return self._imports[path]


def _data_in(folder: Path) -> list[Path]:
    """Files that are no Python in a folder of modules and below: templates, tables."""
    return [
        found
        for found in folder.rglob("*")
        if found.is_file() and found.suffix not in {".py", ".pyc"} and not found.name.startswith(".")
    ]


@cache
def _imports_of_source(source: bytes) -> tuple[set[str], set[str]]:
    """As :func:`imports_of`; a job asks twice, before and after its work, and parsing is what takes long."""
    return imports_of(source.decode("utf-8"))


def imports_of(source: str) -> tuple[set[str], set[str]]:
    """List what a source imports anywhere in it, but for what stands under ``if TYPE_CHECKING``.

    Returns
    -------
    inside
        Names in the project; ``from a import b`` names both ``a`` and ``a.b``, since ``b`` may be a module.
    outside
        Top-level names of third-party packages.
    """
    inside: set[str] = set()
    outside: set[str] = set()
    # An import is a statement: of expressions, which are most of a source, none is looked at.
    pending: list[ast.AST] = [ast.parse(source)]
    while pending:
        node = pending.pop()
        names: list[str] = []
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            pending += node.orelse
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            top = name.partition(".")[0]
            if top == PACKAGE:
                inside.add(name)
            elif top not in sys.stdlib_module_names:
                outside.add(top)
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            pending += getattr(node, block, ())
    return inside, outside


@cache
def version(distribution: str) -> str:
    """The installed version of a distribution, or ``absent``."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def instruction_set(choice: str = "auto") -> str:
    """The instruction-set level at which torch computes on this processor: DEFAULT, AVX2 or AVX512.

    Read from the processor's flags as torch reads them, without importing torch.
    """
    if choice != "auto":
        return choice
    if asked := os.environ.get("ATEN_CPU_CAPABILITY"):
        return asked.upper()
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return f"DEFAULT-{platform.machine()}"
    flags = set(next((line for line in text.splitlines() if line.startswith("flags")), "").split())
    if {"avx512f", "avx512vl", "avx512bw", "avx512dq", "fma"} <= flags:
        return "AVX512"
    return "AVX2" if {"avx2", "fma"} <= flags else "DEFAULT"
