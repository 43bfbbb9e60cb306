"""What Snakemake prints during a run; the lines are made by :mod:`nephroscale.engine.snakemake.screen`."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, TextIO

from snakemake.logging import DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase

if TYPE_CHECKING:
    import logging


class LogHandler(LogHandlerBase):
    """Writes to standard error in place of Snakemake's own handler."""

    def __post_init__(self) -> None:
        self.stream: TextIO = sys.stderr
        settings = self.common_settings
        self.setFormatter(DefaultFormatter(quiet=settings.quiet, show_failed_logs=settings.show_failed_logs))
        os.environ["NEPHROSCALE_SCREEN"] = "1"  # a failed job leaves its message to this handler
        self._ended = threading.Event()
        threading.Thread(target=self._break_silence, daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        # The package is that of the Snakefile, which may be another one than an installed one: so it is not imported.
        module = sys.modules.get("nephroscale.engine.snakemake.screen")
        screen = getattr(module, "screen", None)
        self._write(screen.text(record, self.format) if screen else self.format(record))

    def _write(self, text: str) -> None:
        if text and text != "None":
            self.stream.write(text + "\n")
            self.stream.flush()

    def _break_silence(self) -> None:
        while not self._ended.wait(5):
            screen = getattr(sys.modules.get("nephroscale.engine.snakemake.screen"), "screen", None)
            if screen:
                with self.lock:
                    self._write(screen.silence())

    def close(self) -> None:
        self._ended.set()
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        return True

    @property
    def writes_to_file(self) -> bool:
        return False

    @property
    def has_filter(self) -> bool:
        return False

    @property
    def has_formatter(self) -> bool:
        return True

    @property
    def needs_rulegraph(self) -> bool:
        return False
