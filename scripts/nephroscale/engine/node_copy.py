"""Raw files on the node's own disk: copied before the work, checked while copying, gone afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nephroscale.errors import NephroscaleError
from nephroscale.slides import raw
from nephroscale.store.digest import digest_json

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 1 << 22
# Left free beside a staged file, for what else the job keeps there.
MARGIN = 1 << 28


@contextmanager
def staging_folder(*, wanted: bool) -> Iterator[Path | None]:
    """A fresh folder under ``$TMPDIR``, gone afterwards; None where staging is not wanted."""
    if not wanted:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="nephroscale-") as folder:
        yield Path(folder)


def stage_raw(path: Path, registered: str, folder: Path) -> Path | None:
    """Copy one raw image to a folder, under the harmless names that links to it have.

    Parameters
    ----------
    path
        A file, or a folder of DICOM files, as :func:`nephroscale.slides.raw.gather` takes it.
    registered
        The digest under which it was registered.
    folder
        Where to; made if need be.

    Returns
    -------
    Path or None
        The copy to hand to a reader; None where there is no room for it: it is then read where it lies.

    Raises
    ------
    NephroscaleError
        When the bytes that arrived are not those that were registered.
    """
    files = raw.gather(path)
    size = sum(real.stat().st_size for _, real in files)
    entry = raw.link_raw(path, folder)
    if shutil.disk_usage(folder).free < size + MARGIN:
        print(f"No room for {size / 1e9:.1f} GB in {os.environ.get('TMPDIR', tempfile.gettempdir())}: read in place")
        return None
    digests = [[name, _copy(real, folder / name)] for name, real in files]
    arrived = digests[0][1] if len(digests) == 1 else digest_json(digests)  # as slides.raw.digest has it
    if arrived != registered:
        raise NephroscaleError(
            "The bytes that arrived on the node are not those that were registered.",
            where=path.name,
            todo="Run the same command again; if it comes again, the file system or the node's disk is at fault.",
        )
    print(f"Copied {size / 1e6:.1f} MB of raw image to the node's own disk")
    return entry


def _copy(source: Path, target: Path) -> str:
    """Copy a file and give the BLAKE3 of what was read, so that it is read once."""
    from blake3 import blake3

    hasher = blake3()
    target.unlink()  # the link to the source
    with source.open("rb") as reader, target.open("wb") as writer:
        while block := reader.read(BLOCK):
            hasher.update(block)
            writer.write(block)
    return hasher.hexdigest()
