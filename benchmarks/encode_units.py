"""Share of its time that a GPU would encode in `features`: one measured slice, and a model of costs.

    python benchmarks/encode_units.py [--rates 1000 3000] [--at-once 1 4]

The micrographs of four patients of the tiny cohort (`make tiny`) are encoded by a network of the size of ViT-B with
random weights (17.6 G multiply-adds an image of 224 px, Dosovitskiy et al. 2021): once with a process for each unit
(`--no-hooks`), once with a process that is kept. What a job needs beside encoding is measured: starting, weights,
reading, writing, the store.
The model then takes a card that encodes so many images a second, bags of so many images, and as many jobs on the card
at a time as are given; the share is at most 1.
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from transformers import ViTConfig, ViTModel

from nephroscale.features.encoders.huggingface import HuggingFaceEncoder
from nephroscale.features.settings import EncoderSettings
from nephroscale.features.weights import digest_weights

ROOT = Path(__file__).resolve().parents[1]
BAGS = (8, 40, 200)  # images
UNITS = [f"P{number:02}-TEM" for number in range(1, 5)]


def run(folder: Path, *options: str) -> None:
    """Run Snakemake on the tiny cohort with the configuration of the folder."""
    command = [sys.executable, "-m", "snakemake", "--configfile", "config/tiny.yaml", str(folder / "features.yaml")]
    done = subprocess.run([*command, "--cores", "1", *options], check=False, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])


def beside_encoding(folder: Path, seconds_an_image: float) -> list[float]:
    """Seconds of each job of `features`, less those of encoding its images."""
    beside = []
    for unit in UNITS:
        with (folder / f"results/benchmarks/features/{unit}.tsv").open() as stream:
            (row,) = csv.DictReader(stream, delimiter="\t")
        receipt = json.loads((folder / f"results/features/{unit}.json").read_text())
        images = receipt.get("figures", {}).get("instances")
        if images:
            beside.append(float(row["s"]) - images * seconds_an_image)
    return beside


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=float, nargs="+", default=[1000, 3000], help="images a second of the card")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 4], help="jobs on the card at a time")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ViTModel(ViTConfig(), add_pooling_layer=False).save_pretrained(folder / "weights")
        digest = digest_weights(folder / "weights")
        encoder = {"name": "huggingface", "weights": str(folder / "weights"), "digest": digest}
        network = HuggingFaceEncoder(EncoderSettings(**encoder), "cpu")
        pixels = np.random.default_rng(0).integers(0, 256, (8, 224, 224, 3), np.uint8)
        times = []
        for _ in range(5):
            start = time.perf_counter()
            network.encode(pixels)
            times.append((time.perf_counter() - start) / len(pixels))
        del network
        places = {"results": str(folder / "results"), "store": {"path": str(folder / "store")}}
        places |= {"compute": {"instruction_set": "native"}}  # as in this process
        features = {"encoders": {"TEM": encoder}}
        (folder / "features.yaml").write_text(yaml.safe_dump({**places, "features": features}))
        receipts = [str(folder / f"results/features/{unit}.json") for unit in UNITS]
        found: dict[str, Any] = {"seconds an image on this CPU": round(statistics.median(times), 3)}
        for name, options in (("a process a unit", ("--no-hooks",)), ("a kept process", ())):
            run(folder, *options, "--forcerun", "extract_features", "--", *receipts)
            beside = statistics.median(beside_encoding(folder, statistics.median(times)))
            found[name] = {"seconds of a job beside encoding (median)": round(beside, 3)}
            for rate in arguments.rates:
                for at_once in arguments.at_once:
                    shares = [min(1.0, at_once * n / rate / (n / rate + max(beside, 1e-3))) for n in BAGS]
                    bags = ", ".join(map(str, BAGS))
                    found[name][f"encoding at {rate:g} images/s, {at_once} at once, bags of {bags}"] = [
                        round(share, 2) for share in shares
                    ]
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
