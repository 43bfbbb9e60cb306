"""OIB files of Olympus, by `olefile`, which is an optional extra: one plane of the stack, in 8 or 16 bits."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import BinaryIO

from nephroscale.slides.readers.base import UnreadableSlide
from nephroscale.slides.readers.fluoview import FluoViewReader, read_settings
from nephroscale.slides.readers.pictures import refuse_damage

INFO = "OibInfo.txt"
SPECIAL = 0xFFFFFFFA  # numbers of sectors are smaller


class OibReader(FluoViewReader):
    """One picture of an OIB, which is the files of an OIF in one compound file; see :class:`.FluoViewReader`."""

    def __init__(self, path: Path, page: int | None = None) -> None:
        import olefile

        with refuse_damage("OIB"):
            self._file = olefile.OleFileIO(str(path))
            try:
                self._open(page)
            except Exception:
                self.close()
                raise

    def _open(self, page: int | None) -> None:
        table = self._file.fat  # of the sectors that the file has: which sector follows each
        if any(len(table) <= following < SPECIAL for following in table):
            raise UnreadableSlide("the OIB is damaged or truncated")
        if not self._file.exists(INFO):
            raise UnreadableSlide(
                "it is a compound file of another program (ZVI of Zeiss, or a document), which is not read; export the "
                "picture as OME-TIFF with all its bits"
            )
        info = read_settings(partial(self._stream, [INFO]))["OibSaveInfo"]
        if info.get("Compression", "None") != "None":
            raise UnreadableSlide("its compression is not supported; save it uncompressed, or as OIF")
        streams = {entry[-1].casefold(): entry for entry in self._file.listdir()}
        self._members = {
            re.split(r"[/\\]", name)[-1]: partial(self._stream, streams[key])
            for key, name in info.items()
            if key.startswith("stream") and name
        }
        main = self._stream(streams[info["MainFileName"].casefold()])
        self._set_up(read_settings(lambda: main), page, "oib")

    def _stream(self, entry: list[str]) -> BinaryIO:
        """Open a file in the compound file."""
        stream: BinaryIO = self._file.openstream(entry)
        if stream.seek(0, 2) < self._file.get_size(entry):
            raise UnreadableSlide("the OIB is damaged or truncated")
        stream.seek(0)
        return stream

    def close(self) -> None:
        """Close the file."""
        super().close()
        self._file.close()


Reader = OibReader
