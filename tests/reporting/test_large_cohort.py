"""What the report of 2,000 cases takes, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import nephroscale
from support import large_cohort


@pytest.mark.long
def test_the_report_of_2000_cases_is_small_and_quick(tmp_path: Path) -> None:
    """The limits are those of docs/report.md; time is that of the processor, which other processes do not change."""
    places = [Path(nephroscale.__file__).parents[1], Path(large_cohort.__file__).parents[1]]
    done = subprocess.run(
        [sys.executable, large_cohort.__file__, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places)), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["cpu_seconds"] < 300
    assert found["peak_gib"] < 4
    assert found["page_mb"] < 5
    assert found["case_pages"] == 500
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert metrics["models"]["cmusnet"]["patients"] == 2000
    assert set(metrics["facts"]) == {"acquisition"}
    assert [(each["modality"], each["cases"], each["pairs"]) for each in metrics["near_patients"]] == [
        ("OM", 2000, []),
        ("TEM", 2000, []),
    ]
