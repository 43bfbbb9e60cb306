"""Micrographs per second of the stage `tem`, compared with JPEG decoding alone in the same run.

    python benchmarks/tem.py [MICROGRAPH.jpg] [--images 24] [--rounds 3]

One patient's JPEGs, of the size of a camera's picture (without a file: synthetic, 4000 x 2672 px), with the scale
known: decode, clean, cut patches, hash and write, against decoding them with Pillow. CPU seconds of all threads are
compared. Patches at 8 nm per pixel, and whole images. The goal for patches is 0.25.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from nephroscale.slides.facts import ImageFacts, Scale
from nephroscale.store.digest import digest_file
from nephroscale.tem.settings import TemSettings
from nephroscale.tem.tem import TemImage, prepare_tem

SIZE = (2672, 4000)
NM_PER_PX = 3.0


def draw(path: Path) -> Path:
    random = np.random.default_rng(0)
    coarse = cv2.resize(random.normal(0, 1, (SIZE[0] // 40, SIZE[1] // 40)), SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    grey = np.clip(140 + 35 * coarse + random.normal(0, 10, SIZE), 0, 255).astype(np.uint8)
    grey[-60:-48, 100:766] = 255
    Image.fromarray(grey).save(path, quality=90)
    return path


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def decode(paths: list[Path]) -> None:
    for path in paths:
        with Image.open(path) as image:
            np.asarray(image)


def prepare(paths: list[Path], out: Path, settings: TemSettings) -> None:
    shutil.rmtree(out, ignore_errors=True)
    facts = ImageFacts(scale=Scale(NM_PER_PX, "nm", "table"))
    prepare_tem([TemImage(path.stem, path, facts) for path in paths], settings, out)
    for file in sorted(out.rglob("*")):
        if file.is_file():
            digest_file(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("micrograph", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        first = arguments.micrograph or draw(folder / "drawn.jpg")
        paths = [Path(shutil.copy(first, folder / f"M{number:03d}.jpg")) for number in range(arguments.images)]
        for kind in ("patch", "image"):
            settings = TemSettings(instance=kind)
            ratios, seconds = [], []
            for _ in range(arguments.rounds):
                begun = cpu_seconds()
                decode(paths)
                decoded = cpu_seconds()
                prepare(paths, folder / "bag", settings)
                ended = cpu_seconds()
                ratios.append((decoded - begun) / (ended - decoded))
                seconds.append((ended - decoded) / len(paths))
            print(
                f"instance: {kind}: {statistics.median(ratios):.3f} of decoding alone"
                f" ({statistics.median(seconds):.3f} CPU seconds a micrograph)"
            )


if __name__ == "__main__":
    main()
