"""What Snakemake prints during a run: one line a job, with the stage's count, the run's share and the time left."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, TextIO

from snakemake.logging import DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

# Said by the summary, by our own lines, or of no use to the reader of the screen; Snakemake's own log file has them.
UNSAID = ("Select jobs to execute...", "Using shell:", "Provided cores:", "Rules claiming more threads")
SILENT = {LogEvent.JOB_FINISHED, LogEvent.JOB_STARTED, LogEvent.RESOURCES_INFO, LogEvent.SHELLCMD, LogEvent.PROGRESS}


class ProgressFormatter(DefaultFormatter):
    """Snakemake's formatter, but for jobs.

    Parameters
    ----------
    clock
        Seconds, rising; tests bring their own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, **settings: Any) -> None:
        super().__init__(**settings)
        self.clock = clock
        self.totals: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.running: dict[int, tuple[str, str]] = {}
        self.started: float | None = None

    def format(self, record: logging.LogRecord) -> str:
        event = getattr(record, "event", None)
        if event == LogEvent.RUN_INFO:
            self.totals = Counter({k: v for k, v in getattr(record, "stats", {}).items() if k != "total"})
        if event == LogEvent.JOB_INFO:
            return self._start(record)
        if event == LogEvent.JOB_FINISHED:
            return self._finish(record)
        silent = event in SILENT or str(record.msg).startswith(UNSAID)
        return "" if silent else super().format(record)

    def _start(self, record: logging.LogRecord) -> str:
        values = vars(record)
        self.started = self.started if self.started is not None else self.clock()
        self.running[values["jobid"]] = (values["rule_name"], values.get("rule_msg") or values["rule_name"])
        return ""

    def _finish(self, record: logging.LogRecord) -> str:
        rule, message = self.running.pop(vars(record)["job_id"], ("", ""))
        if not rule:
            return ""
        self.done[rule] += 1
        done, total = sum(self.done.values()), sum(self.totals.values())
        stage = f"{self.done[rule]}/{self.totals[rule]}"
        share = f"{done:>{len(str(total))}} of {total}"
        return f"{share}  {message} ({stage}){self._time_left(done, total)}"

    def _time_left(self, done: int, total: int) -> str:
        """Guess the time left from the jobs done so far: they differ, so it is said only roughly."""
        elapsed = self.clock() - (self.started or 0.0)
        if done >= total or elapsed < 10:
            return ""
        left = elapsed / done * (total - done)
        return f", about {left / 60:.0f} min left" if left >= 90 else f", about {max(10, round(left, -1)):.0f} s left"


class LogHandler(LogHandlerBase):
    """Writes to standard error in place of Snakemake's own handler."""

    def __post_init__(self) -> None:
        self.stream: TextIO = sys.stderr
        settings = self.common_settings
        self.setFormatter(ProgressFormatter(quiet=settings.quiet, show_failed_logs=settings.show_failed_logs))

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if text and text != "None":
            self.stream.write(text + "\n")
            self.stream.flush()

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
