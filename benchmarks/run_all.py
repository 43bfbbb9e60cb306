"""Run every benchmark and print what each prints; the exit status is non-zero if one of them failed.

    python benchmarks/run_all.py [NAME ...]

Benchmarks that need a folder of their own data (parity.py) are run only where ../shared has it.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PARITY = HERE.parents[1] / "shared/parity"


def main() -> int:
    failed = []
    for path in sorted(HERE.glob("*.py")):
        if path == Path(__file__).resolve() or (sys.argv[1:] and path.stem not in sys.argv[1:]):
            continue
        arguments = [str(PARITY)] if path.stem == "parity" else []
        if path.stem == "parity" and not PARITY.is_dir():
            print("== parity: skipped, ../shared/parity is absent")
            continue
        print(f"== {path.stem}", flush=True)
        if subprocess.run([sys.executable, str(path), *arguments], check=False).returncode:
            failed.append(path.stem)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
