"""Random reads of whole bags per second: memory-mapped Zarr bags compared with one h5 file per bag, in the same run.

    python benchmarks/bags.py [--bags 300] [--reads 1500]

Prints one JSON object: medians of interleaved rounds, and the ratios. `opened` opens the bag for every read. `kept`
reads from open bags, as an epoch of training does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from nephroscale.arrays import read_array, write_arrays

CHANNELS, ROUNDS = 1024, 5


def make(folder: Path, number: int) -> None:
    rng = np.random.default_rng(0)
    for i in range(number):
        n = int(rng.integers(10, 201))
        maps = rng.standard_normal((n, 1, 1, CHANNELS), dtype=np.float32).astype(np.float16)
        arrays = {
            "features": maps,
            "image": np.zeros(n, np.int16),
            "slot": np.zeros(n, np.int8),
            "score": np.ones(n, np.float32),
        }
        attributes = {"patient": f"P{i}", "modality": "TEM", "encoder": "random", "images": ["I"], "panel": []}
        write_arrays(folder / f"{i}.zarr", arrays, attributes)
        with h5py.File(folder / f"{i}.h5", "w") as file:
            file["features"] = maps.reshape(n, CHANNELS)
            file["coords"] = np.zeros((n, 2), np.int64)


def read_h5(path: Path) -> np.ndarray:
    with h5py.File(path, "r") as file:
        return file["features"][...]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bags", type=int, default=300)
    parser.add_argument("--reads", type=int, default=1500, help="reads in a round")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, options.bags)
        bags = [read_array(folder / f"{i}.zarr", "features") for i in range(options.bags)]
        files = [h5py.File(folder / f"{i}.h5", "r") for i in range(options.bags)]
        ways = {
            "h5, opened": lambda i: read_h5(folder / f"{i}.h5"),
            "h5, kept": lambda i: files[i]["features"][...],
            "mapped, opened": lambda i: np.array(read_array(folder / f"{i}.zarr", "features")),
            "mapped, kept": lambda i: np.array(bags[i]),
            "mapped, kept, not copied": lambda i: np.asarray(bags[i]),
        }
        same = all(np.array_equal(ways["h5, opened"](i), ways["mapped, kept"](i)[:, 0, 0]) for i in range(options.bags))
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(ROUNDS):
            order = np.random.default_rng(turn).integers(0, options.bags, options.reads).tolist()
            for way, read in ways.items():
                start = time.perf_counter()
                for i in order:
                    read(i)
                rates[way].append(options.reads / (time.perf_counter() - start))
        for file in files:
            file.close()
    median = {way: round(statistics.median(values)) for way, values in rates.items()}
    ratio = {
        "opened for every read": round(median["mapped, opened"] / median["h5, opened"], 2),
        "kept open": round(median["mapped, kept"] / median["h5, kept"], 2),
        "kept open, against h5 opened": round(median["mapped, kept"] / median["h5, opened"], 2),
        "kept open and not copied, against h5 opened": round(
            median["mapped, kept, not copied"] / median["h5, opened"], 2
        ),
    }
    print(json.dumps({"equal_values": same, "reads_per_second": median, "ratio": ratio}, indent=2))
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
