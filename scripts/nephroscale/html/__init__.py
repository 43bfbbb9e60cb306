"""How the pages of a study are written: one environment of templates, one look."""

from __future__ import annotations

import marshal
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import jinja2
from jinja2.bccache import Bucket

TEMPLATES = Path(__file__).parent / "templates"


class CompiledTemplates(jinja2.BytecodeCache):
    """Compiled templates in the folder ``__pycache__`` beside them, where Python keeps those of modules.

    Parameters
    ----------
    folder
        Folder of the templates.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "__pycache__"
        #: All that decides the code of a template beside its source, with the options of the environment below.
        self._version = f"{sys.version} {jinja2.__version__} ".encode() + Path(__file__).read_bytes()

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take the code from its file, unless that is damaged."""
        with suppress(OSError):
            data = self._path(bucket).read_bytes()
            if sha256(data[32:]).digest() == data[:32]:
                bucket.code = marshal.loads(data[32:])  # noqa: S302  (Python reads its own modules so, too)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Write the code to its file, if the folder can be written to."""
        if sys.dont_write_bytecode:
            return
        code = marshal.dumps(bucket.code)
        path = self._path(bucket)
        written = path.with_name(f"{path.name}.{os.getpid()}.pyc")
        with suppress(OSError):
            path.parent.mkdir(exist_ok=True)
            written.write_bytes(sha256(code).digest() + code)
            written.replace(path)

    def _path(self, bucket: Bucket) -> Path:
        named = sha256(bucket.checksum.encode() + self._version).hexdigest()  # wherever the folder is
        return self._folder / f"{named[:32]}.pyc"


def cases_of(cases: int, people: int) -> str:
    """Count the cases of a study in words: patients, of whom some may have several biopsies, each a case."""
    return f"{people} patients" if cases == people else f"{cases} cases of {people} patients"


def template_environment(folder: Path, **filters: Callable[..., object]) -> jinja2.Environment:
    """Make the environment that a page is rendered in.

    Parameters
    ----------
    folder
        Where a page's own templates are; the common ``base.css`` is found beside this module.
    filters
        The page's own filters.

    Returns
    -------
    jinja2.Environment
        It escapes whatever is put in, and refuses names that are not defined.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=CompiledTemplates(folder),
    )
    environment.filters |= filters
    return environment
