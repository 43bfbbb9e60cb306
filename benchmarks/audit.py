"""Audit of a large study: seconds and memory from receipts and records to page and crate, for 100,000 artifacts.

    python benchmarks/audit.py [--patients 11111] [--folder FOLDER]

A cohort of 11,111 patients with three images each has 100,000 artifacts. Objects, receipts and records are made up
(`tests/support/mock_study.py`). A folder that is named is kept, and what is in it already is used again.

Prints one JSON object. The exit status is non-zero if a limit is exceeded or the audit is wrong.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from nephroscale.provenance.audit import write_audit

FULL, MOST_SECONDS = 11_111, 60.0
IMAGES = (("OM", "PASM", ""), ("IM", "", "IgG"), ("TEM", "", ""))

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from support.mock_study import make_everything, make_project, open_plan  # noqa: E402


def measure(folder: Path) -> dict[str, Any]:
    """Write the audit as a job does, with page and crate."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        out = Path(scratch) / "audit"
        found = write_audit(open_plan(folder), out)
        seconds = time.perf_counter() - start
        sizes = {path.name: round(path.stat().st_size / 1e6) for path in sorted(out.iterdir()) if path.is_file()}
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "artifacts": found["artifacts"],
        "states": found["states"],
        "seconds": round(seconds, 1),
        "cpu_s": round(sum(used.ru_utime + used.ru_stime for used in usage), 1),
        "megabytes": sizes,
        "peak_gb": [round(used.ru_maxrss / 1e6, 2) for used in usage],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--patients", type=int, default=FULL)
    parser.add_argument("--folder", type=Path, help="folder to work in; it is kept")
    parser.add_argument("--measure", action="store_true", help="only measure the content of the folder")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.folder.resolve())))
        return 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "everything-made").exists():
            make_project(folder, options.patients, IMAGES)
            make_everything(folder, {})
            (folder / "everything-made").touch()
        # In a process of its own, so that the memory is that of the audit.
        command = [sys.executable, __file__, "--measure", "--folder", str(folder)]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    found["seconds_of_limit"] = round(found["seconds"] / MOST_SECONDS, 3)
    print(json.dumps(found, indent=2))
    return int(found["seconds_of_limit"] > 1 or set(found["states"]) != {"current"})


if __name__ == "__main__":
    sys.exit(main())
