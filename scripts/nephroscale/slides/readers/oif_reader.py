"""OIF files of Olympus: settings, and a folder of planes beside them; one plane of the stack, in 8 or 16 bits."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import BinaryIO

from nephroscale.slides.companions import oif_folder
from nephroscale.slides.readers.base import UnreadableSlide
from nephroscale.slides.readers.fluoview import FluoViewReader, read_settings
from nephroscale.slides.readers.pictures import refuse_damage


class OifReader(FluoViewReader):
    """One picture of an OIF; see :class:`.FluoViewReader`."""

    def __init__(self, path: Path, page: int | None = None) -> None:
        with refuse_damage("OIF"):
            folder = oif_folder(path)
            if folder is None:
                raise UnreadableSlide("its folder of planes is missing; copy it again, with its folder")
            self._members = {each.name: partial(_open, each) for each in folder.iterdir()}
            self._set_up(read_settings(partial(_open, path)), page, "oif")


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


Reader = OifReader
