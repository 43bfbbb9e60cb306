"""Copies of raw files on the node's own disk: verified while copying, deleted after the job."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nephroscale.errors import NephroscaleError
from nephroscale.slides import raw
from nephroscale.store.digest import copy_digested, digest_json

# Space left free for the job's other files.
MARGIN = 1 << 28


@contextmanager
def node_folder(*, wanted: bool) -> Iterator[Path | None]:
    """A new folder under ``$TMPDIR``, deleted afterwards; None where copies are not wanted."""
    if not wanted:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="nephroscale-") as folder:
        yield Path(folder)


def copy_raw(path: Path, registered: str, folder: Path) -> Path | None:
    """Copy one raw image to a folder, under the id-based names of its links.

    Parameters
    ----------
    path
        A file, or a folder of DICOM files, as :func:`nephroscale.slides.raw.list_files` takes it.
    registered
        The digest under which it was registered.
    folder
        Target folder, created if missing.

    Returns
    -------
    Path or None
        The copy, to be read; None if there is no room for it, so that the original is read.

    Raises
    ------
    NephroscaleError
        When the copied bytes differ from the registered ones.
    """
    files = raw.list_files(path)
    size = sum(real.stat().st_size for _, real in files)
    entry = raw.link_raw(path, folder)
    if shutil.disk_usage(folder).free < size + MARGIN:
        print(f"No room for {size / 1e9:.1f} GB in {os.environ.get('TMPDIR', tempfile.gettempdir())}: read in place")
        return None
    digests = [[name, _copy(real, folder / name)] for name, real in files]
    arrived = digests[0][1] if len(digests) == 1 else digest_json(digests)  # as slides.raw.digest has it
    if arrived != registered:
        raise NephroscaleError(
            "The bytes copied to the node differ from the registered ones.",
            where=path.name,
            fix="Run the same command again; if it recurs, check the file system and the node's disk.",
        )
    print(f"Copied {size / 1e6:.1f} MB of raw image to the node's own disk")
    return entry


def _copy(source: Path, target: Path) -> str:
    """Copy a file and return the BLAKE3 digest of the bytes read."""
    target.unlink()  # the link to the source
    with source.open("rb") as reader:
        return copy_digested(reader, target)
