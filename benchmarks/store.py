"""Cost of the store: verification compared with plain BLAKE3 reading, publication, and its fraction of a run.

    python benchmarks/store.py [--objects 100000] [--megabytes 256] [--cohort demo|tiny|none]

`many` is a store of 100,000 small objects, `large` one of a few large objects. In turns, the package verifies them, and
a plain loop of open, read and BLAKE3 reads the same files with the same number of processes. The ratio of the medians
has to be at least 0.7. `publish` moves a large group of arrays into the store, with and without the digests that were
computed while it was written. `run` computes a synthetic cohort from nothing and divides the seconds that jobs spent on
look-up, digests and publication by the seconds of computing; the result has to be below 0.03.

Prints one JSON object. The exit status is non-zero if a limit is exceeded; with fewer objects, starting processes takes
most of the time, and the ratios of reading have no limit.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from nephroscale import digest_on_write
from nephroscale.arrays import write_arrays
from nephroscale.store import verify
from nephroscale.store.folder import remove_tree
from nephroscale.store.objects import Store

ROOT = Path(__file__).resolve().parents[1]
ROUNDS, WORKERS, PIECE = 3, os.cpu_count() or 1, 100
FULL, LARGE = 100_000, 4
LEAST_RATIO, MOST_OVERHEAD = 0.7, 0.03


def make_many(path: Path, start: int, stop: int) -> None:
    """Publish small objects of 1 to 32 KB: nine files, then a folder of five files, and so on."""
    store, draw = Store(path), np.random.default_rng(start)
    with store.scratch() as scratch:
        for number in range(start, stop):
            out = scratch / f"o{number}"
            data = number.to_bytes(8, "big") + draw.bytes(int(draw.integers(1 << 10, 1 << 15)))
            if number % 10:
                out.write_bytes(data)
            else:
                (out / "c").mkdir(parents=True)
                for part in range(5):
                    (out / "c" / str(part)).write_bytes(data[part::5])
            store.publish(out)


def make_large(path: Path, megabytes: int) -> None:
    store = Store(path)
    for number in range(LARGE):
        with store.scratch() as scratch:
            block = np.random.default_rng(number).bytes(1 << 20)
            with (scratch / "out").open("wb") as stream:
                for part in range(megabytes):
                    stream.write(part.to_bytes(8, "big") + block)
            store.publish(scratch / "out")


def read_raw(paths: list[str]) -> int:
    """Open, read and hash files: the minimum that any verification has to do."""
    total = 0
    for path in paths:
        with open(path, "rb", buffering=0) as stream:  # noqa: PTH123
            hasher = blake3()
            while data := stream.read(1 << 22):
                hasher.update(data)
                total += len(data)
            hasher.digest()
    return total


def compare(path: Path) -> dict[str, Any]:
    """Verify a store and read its files plainly, in turns."""
    files = sorted(str(file) for file in (path / "objects").rglob("*") if file.is_file())
    pieces = [files[start : start + PIECE] for start in range(0, len(files), PIECE)]
    if len(pieces) < WORKERS:
        pieces = [[file] for file in files]
    seconds: dict[str, list[float]] = {"raw": [], "verify": []}
    size = 0
    for turn in range(ROUNDS + 1):
        start = time.perf_counter()
        with ProcessPoolExecutor(WORKERS) as pool:
            size = sum(pool.map(read_raw, pieces))
        between = time.perf_counter()
        damages = verify.verify(Store(path), workers=WORKERS)
        end = time.perf_counter()
        assert damages == []
        if turn:  # the first turn fills the page cache
            seconds["raw"].append(between - start)
            seconds["verify"].append(end - between)
    median = {way: statistics.median(values) for way, values in seconds.items()}
    return {
        "files": len(files),
        "gb": round(size / 1e9, 2),
        "raw_mb_per_s": round(size / median["raw"] / 1e6),
        "verify_mb_per_s": round(size / median["verify"] / 1e6),
        "ratio": round(median["raw"] / median["verify"], 2),
    }


def compare_publication(folder: Path, megabytes: int) -> dict[str, Any]:
    """Publish arrays, with and without the digests that were computed while they were written."""
    seconds: dict[str, list[float]] = {"noted": [], "read again": []}
    for turn in range(ROUNDS):
        for way, values in seconds.items():
            store = Store(folder / f"{way}{turn}")
            with store.scratch() as scratch:
                write_arrays(scratch / "out", {"a": np.arange(megabytes << 17) + turn})
                if way == "read again":
                    digest_on_write.forget()
                start = time.perf_counter()
                store.publish(scratch / "out")
                values.append(time.perf_counter() - start)
            remove_tree(store.path)
    return {way: round(statistics.median(values), 3) for way, values in seconds.items()}


def measure_run(folder: Path, cohort: str) -> dict[str, Any]:
    """Run a synthetic cohort from nothing, and add up what its records say."""
    for part in ("workflow", "scripts", "config", "resources"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    generate = [sys.executable, "resources/demo/generate.py", cohort, "--out", f"demo/{cohort}"]
    subprocess.run(generate, cwd=folder, check=True, capture_output=True)
    settings = "config/config.yaml" if cohort == "demo" else "config/tiny.yaml"
    command = [sys.executable, "-m", "snakemake", "--configfile", settings, "--cores", str(WORKERS), "all"]
    subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": ""}, check=True, capture_output=True)
    made = [json.loads(path.read_text())["made"] for path in (folder / "store/records").glob("*/*.json")]
    compute = sum(one["seconds"] for one in made)
    store = sum(one["store_seconds"] for one in made)
    return {"jobs": len(made), "compute_s": round(compute, 1), "store_s": round(store, 2), "share": store / compute}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--objects", type=int, default=FULL)
    parser.add_argument("--megabytes", type=int, default=256, help="size of a large object")
    parser.add_argument("--cohort", choices=["demo", "tiny", "none"], default="demo", help="cohort to run")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        step = max(1, options.objects // 32)
        starts = range(0, options.objects, step)
        with ProcessPoolExecutor(WORKERS) as pool:
            for done in [pool.submit(make_many, folder / "many", s, min(s + step, options.objects)) for s in starts]:
                done.result()
        found["many"] = compare(folder / "many")
        remove_tree(folder / "many")
        make_large(folder / "large", options.megabytes)
        found["large"] = compare(folder / "large")
        remove_tree(folder / "large")
        found["publish_seconds"] = compare_publication(folder, options.megabytes)
        if options.cohort != "none":
            (folder / "run").mkdir()
            found["run"] = {"cohort": options.cohort, **measure_run(folder / "run", options.cohort)}
        remove_tree(folder)
        folder.mkdir()
    print(json.dumps(found, indent=2))
    slow = options.objects >= FULL and any(found[kind]["ratio"] < LEAST_RATIO for kind in ("many", "large"))
    return int(slow or found.get("run", {"share": 0.0})["share"] > MOST_OVERHEAD)


if __name__ == "__main__":
    sys.exit(main())
