"""Run every benchmark and print its output; the exit status is non-zero if one failed.

    python benchmarks/run_all.py [NAME ...]

kidney.py and mil.py are skipped without ../shared/data. They, coverage.py and chaos.py run in a short form.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / "shared"
FOLDERS = {"kidney": SHARED / "data/kidney_om", "mil": SHARED / "data/mil"}
OPTIONS = {
    "chaos": ["--seeds", "2"],
    "coverage": ["--draws", "3"],
    "kidney": ["--seeds", "1", "--no-fields"],
    "mil": ["--dataset", "musk1", "--networks", "abmil,abmil-gated"],
}


def main() -> int:
    failed = []
    for path in sorted(HERE.glob("*.py")):
        if path.stem == "run_all" or (sys.argv[1:] and path.stem not in sys.argv[1:]):
            continue
        folder = FOLDERS.get(path.stem)
        if folder and not folder.is_dir():
            print(f"== {path.stem}: skipped, ../shared/{folder.relative_to(SHARED)} is absent")
            continue
        arguments = [*OPTIONS.get(path.stem, []), *([str(folder)] if folder else [])]
        print(f"== {path.stem}", flush=True)
        if subprocess.run([sys.executable, str(path), *arguments], check=False).returncode:
            failed.append(path.stem)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
