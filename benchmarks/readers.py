"""Patches per second of the fast reader compared with OpenSlide's `read_region`, in the same run.

    python benchmarks/readers.py [SLIDE] [--rounds 7]

Without a slide, a synthetic one is used: 8192 x 6144 pixels of noise-like texture in 256-px JPEG tiles. Rounds are
interleaved and medians compared, so that other work on the machine affects both readers alike. The result is the ratio.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import openslide
import tifffile

from nephroscale.slides.readers.registry import choose_reader, open_slide

if TYPE_CHECKING:
    from collections.abc import Callable

PATCH = 256


def make_slide(path: Path) -> Path:
    rng = np.random.default_rng(0)
    tile = rng.normal(190, 25, (512, 512, 3))
    tile = np.clip((tile + np.roll(tile, 1, 0) + np.roll(tile, 1, 1)) / 3, 0, 255).astype(np.uint8)
    image = np.tile(tile, (12, 16, 1))
    with tifffile.TiffWriter(path) as tiff:
        for level in (image, image[::2, ::2]):
            tiff.write(
                level,
                tile=(PATCH, PATCH),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": 85},
                subfiletype=int(level is not image),
                resolution=(40000, 40000),
                resolutionunit="CENTIMETER",
                metadata=None,
            )
    return path


def corners(width: int, height: int, shift: int, count: int) -> list[tuple[int, int]]:
    """List corners of patches row by row, as tiling reads them, on the tile grid or `shift` pixels off it."""
    across, down = (width - shift) // PATCH, (height - shift) // PATCH
    grid = [(x * PATCH + shift, y * PATCH + shift) for y in range(down) for x in range(across)]
    return grid[:count]


def rate(read: Callable[[int, int], object], places: list[tuple[int, int]]) -> float:
    start = time.perf_counter()
    for x, y in places:
        read(x, y)
    return len(places) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slide", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--patches", type=int, default=300)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.slide or make_slide(Path(folder) / "slide.tiff")
        name = choose_reader(path)
        print(f"{path.name}: {name}")
        for label, shift in (("on the grid", 0), ("off the grid", PATCH // 2 + 5)):
            ratios, rates = [], []
            for _ in range(arguments.rounds):
                # A fresh handle a round: neither side lives on what it decoded in the round before.
                with openslide.OpenSlide(path) as slow, open_slide(path, name) as fast:
                    places = corners(*slow.dimensions, shift, arguments.patches)
                    theirs = rate(
                        lambda x, y: np.asarray(slow.read_region((x, y), 0, (PATCH, PATCH)).convert("RGB")), places
                    )
                    ours = rate(lambda x, y: fast.read_level(0, x, y, PATCH, PATCH)[0], places)
                ratios.append(ours / theirs)
                rates.append(theirs)
            print(
                f"{label}: {statistics.median(ratios):.2f} times OpenSlide's {statistics.median(rates):.0f} patches/s"
            )


if __name__ == "__main__":
    main()
