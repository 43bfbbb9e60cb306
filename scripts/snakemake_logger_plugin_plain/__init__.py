"""Snakemake's own lines, by `--logger plain`: the profile names a logger, and Snakemake has no name for its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snakemake_interface_logger_plugins.base import LogHandlerBase

if TYPE_CHECKING:
    import logging


class LogHandler(LogHandlerBase):
    """Prints nothing, so that Snakemake prints as it does without plugins."""

    def __post_init__(self) -> None:
        pass

    def emit(self, record: logging.LogRecord) -> None:
        pass

    @property
    def writes_to_stream(self) -> bool:
        return False

    @property
    def writes_to_file(self) -> bool:
        return False

    @property
    def has_filter(self) -> bool:
        return True

    @property
    def has_formatter(self) -> bool:
        return True

    @property
    def needs_rulegraph(self) -> bool:
        return False
