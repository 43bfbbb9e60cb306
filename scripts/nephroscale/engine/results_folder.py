"""Where the files of a run are: receipts, links, logs, benchmark files and links to raw files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nephroscale.cohort.image import Image
from nephroscale.engine.stage import Stage


class ResultsFolder:
    """The results folder of a configuration.

    Parameters
    ----------
    results
        The folder.
    stages
        Every stage by name, in the order in which data flows.
    """

    def __init__(self, results: Path, stages: Mapping[str, Stage]) -> None:
        self.results, self.stages = results, stages
        self._results = str(results)

    def receipt_path(self, stage: str, unit: str) -> Path:
        """The file that the stage's rule outputs for a unit."""
        return Path(self.receipt_name(stage, unit))

    def receipt_name(self, stage: str, unit: str) -> str:
        """As :meth:`receipt_path`, as text: Snakemake gets many of them."""
        return f"{self._results}/{stage}.json" if unit == "cohort" else f"{self._results}/{stage}/{unit}.json"

    def link_path(self, stage: str, unit: str) -> Path:
        """The link to the object, next to the receipt."""
        return Path(self.link_name(stage, unit))

    def link_name(self, stage: str, unit: str) -> str:
        """As :meth:`link_path`, as text."""
        suffix = self.stages[stage].suffix
        return f"{self._results}/{stage}{suffix}" if unit == "cohort" else f"{self._results}/{stage}/{unit}{suffix}"

    def log_path(self, stage: str, unit: str) -> Path:
        """The file that a job's output goes to."""
        return self.results / "logs" / stage / f"{unit}.log"

    def benchmark_path(self, stage: str, unit: str) -> Path:
        """The file to which Snakemake writes a job's time and memory."""
        return Path(self.benchmark_name(stage, unit))

    def benchmark_name(self, stage: str, unit: str) -> str:
        """As :meth:`benchmark_path`, as text."""
        return f"{self._results}/benchmarks/{stage}/{unit}.tsv"

    def raw_folder(self, image: Image) -> Path:
        """The folder of the id-named links to an image's raw files."""
        return self.results / "raw" / image.id
