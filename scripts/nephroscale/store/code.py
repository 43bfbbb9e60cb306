"""The code closure of a script: every project module that it runs, found by reading the files."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from nephroscale.collect import Kept, reachable
from nephroscale.store.digest import digest_bytes, digest_file, digest_json
from nephroscale.store.recipe import SharedPart
from nephroscale.store.syntax import digest_syntax

PACKAGE = "nephroscale"


class Closure(NamedTuple):
    """What a script runs.

    Attributes
    ----------
    code
        The script, every project module that it imports, directly or not, and the data files (templates, tables)
        beside those modules: name to digest, sorted by name. Names are the same in a checkout and in an installed
        package: ``tile_slide.py``, ``nephroscale/slides/tiles.py``.
    imports
        Top-level names of the third-party packages that these modules import, sorted.
    modules
        The same imports with their full names, such as ``torch.nn``; a name may also be that of a function or class.
    """

    code: dict[str, str]
    imports: tuple[str, ...]
    modules: tuple[str, ...]


class ModuleSource(NamedTuple):
    """The digest of a module's code, and the names that it imports: of the project, and of third-party packages."""

    digest: str
    inside: frozenset[str]
    outside: frozenset[str]


class ParsedSources:
    """Sources that were parsed before, by the digest of their bytes: parsing would take most of a short job's time.

    Parameters
    ----------
    folder
        Where they are kept: one file for each version of Python and of this module. It need not exist.
    """

    def __init__(self, folder: Path) -> None:
        here = Path(__file__)
        version = [sys.version, digest_file(here), digest_file(here.with_name("syntax.py"))]
        #: The file of this version.
        self.path = folder / f"{digest_json(version)}.json"
        #: Whether a source was parsed that the file does not hold.
        self.grown = False
        self._kept: dict[str, ModuleSource] = {}
        with suppress(FileNotFoundError, NotADirectoryError):
            digest, _, content = self.path.read_bytes().partition(b"\n")
            if digest_bytes(content).encode() == digest:  # else damaged
                for name, (code, inside, outside) in json.loads(content).items():
                    self._kept[name] = ModuleSource(code, frozenset(inside), frozenset(outside))

    def read(self, source: bytes) -> ModuleSource:
        """The same as :func:`read_source`."""
        name = digest_bytes(source)
        if name not in self._kept:
            self._kept[name] = read_source(source)
            self.grown = True
        return self._kept[name]

    def text(self) -> str:
        """What the file has to hold."""
        content = json.dumps({name: [code, sorted(ins), sorted(out)] for name, (code, ins, out) in self._kept.items()})
        return f"{digest_bytes(content.encode())}\n{content}"


class Code:
    """The project's code on disk; nothing is imported.

    Answers are kept for the life of the instance: make a new one to read the files again.

    Parameters
    ----------
    scripts
        Folder of the scripts.
    package
        Folder of the package.
    excluded
        Modules and packages whose code decides where artifacts go or which are made, but not what is in them: they are
        in no closure, and neither is what they alone import.
    parse
        Parses a module's source.
    """

    def __init__(
        self,
        scripts: Path,
        package: Path,
        excluded: Sequence[str],
        parse: Callable[[bytes], ModuleSource] | None = None,
    ) -> None:
        self.scripts, self.package, self.excluded = scripts, package, tuple(excluded)
        parse = parse or read_source
        self._closures: Kept[tuple[str, tuple[str, ...]], Closure] = Kept(lambda key: self._collect(*key))
        self._sources: Kept[Path, ModuleSource] = Kept(lambda path: parse(path.read_bytes()))
        self._data: Kept[Path, str] = Kept(digest_file)
        self._files = Kept(self._find)
        self._folders = Kept(_data_in)

    def closure(self, script: str, modules: tuple[str, ...] = ()) -> Closure:
        """Collect what a script runs.

        Parameters
        ----------
        script
            File name in the folder of scripts.
        modules
            Project modules that a registry chose for this unit of work and that no import statement names.
        """
        return self._closures[script, modules]

    def files(self) -> list[Path]:
        """The files that were read so far."""
        return [*self._sources, *self._data]

    def _collect(self, script: str, modules: tuple[str, ...]) -> Closure:
        files = reachable(
            [self.scripts / script, *(path for module in modules for path in self._files[module])],
            lambda path: [file for name in self._sources[path].inside for file in self._files[name]],
        )
        imports = {name for path in files for name in self._sources[path].outside}
        code = {self._name(path): self._sources[path].digest for path in files}
        for folder in {path.parent for path in files} - {self.scripts, self.package}:
            code |= {self._name(path): self._data[path] for path in self._folders[folder]}
        tops = {name.partition(".")[0] for name in imports}
        return Closure(SharedPart(sorted(code.items())), tuple(sorted(tops)), tuple(sorted(imports)))

    def _name(self, path: Path) -> str:
        return path.name if path.parent == self.scripts else f"{PACKAGE}/{path.relative_to(self.package).as_posix()}"

    def _find(self, module: str) -> list[Path]:
        """The files that importing a module runs: itself and the `__init__` of the folders above it."""
        if module == PACKAGE or any(module == name or module.startswith(f"{name}.") for name in self.excluded):
            return []
        parts = module.split(".")[1:]
        files = [self.package.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)]
        files.append(self.package.joinpath(*parts).with_suffix(".py"))
        return [path for path in files if path.is_file()]


def _data_in(folder: Path) -> list[Path]:
    """The files in a folder of modules and below it that are not Python."""
    return [
        found
        for found in folder.rglob("*")
        if found.is_file() and found.suffix not in {".py", ".pyc"} and not found.name.startswith(".")
    ]


@cache
def read_source(source: bytes) -> ModuleSource:
    """Read a module's source; parsing takes long, so a process parses equal sources once.

    Imports anywhere in the source count, except those under ``if TYPE_CHECKING``. Of ``from a import b``, both ``a``
    and ``a.b`` are names, since ``b`` may be a module.
    """
    tree = ast.parse(source)
    inside: set[str] = set()
    outside: set[str] = set()
    pending: list[ast.AST] = [tree]
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
                outside.add(name)
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):  # statements alone can import
            pending += getattr(node, block, ())
    return ModuleSource(digest_syntax(tree), frozenset(inside), frozenset(outside))
