"""CPU seconds of tiling a whole slide, as multiples of decoding its JPEG tiles.

    python benchmarks/tiles.py [--width 40960] [--height 30720] [--codec lz4] [--threads 2] [--repeats 3] [--step 4]

Writes a pyramid of 256-px JPEG tiles (quality 85, 4:2:0) at 0.25 µm per pixel, of which about a quarter is tissue, into
a temporary folder. Prints the CPU seconds of all threads for decoding the JPEG of the tiles with tissue (1 by
definition), for reading them with the project's reader, and for the whole stage (read, mask, normalise, compress, hash
and write) at 0.25 and at 0.5 µm per pixel, with the peak of memory. In each round, tiles are decoded before and after
the stage, since the speed of shared machines changes within minutes; the round with the median ratio is printed.
With `--step 4` each level is a quarter of the one before, as in SVS, so that tiles at 0.5 µm are level 0 decoded at
half its scale.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import imagecodecs
import numpy as np
import tifffile

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts")]
from nephroscale.cohort.image import ImageRow  # noqa: E402
from nephroscale.slides.facts import describe_image  # noqa: E402
from nephroscale.slides.readers.registry import open_slide  # noqa: E402
from nephroscale.slides.settings import OmTilingSettings  # noqa: E402
from nephroscale.slides.stain import StainReference  # noqa: E402
from nephroscale.slides.tiles import tile_slide  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

TILE, MPP, KINDS = 256, 0.25, 16
ROW = ImageRow(id="I", patient_id="P", modality="OM", stain="HE")


def draw_tile(seed: int) -> np.ndarray:
    """Stained texture of nuclei and stroma, uint8 [256, 256, 3]."""
    rng = np.random.default_rng(seed)
    fine, coarse = (cv2.GaussianBlur(rng.normal(0, 1, (TILE, TILE)), (0, 0), s) * s * 2 for s in (2.0, 6.0))
    eosin, nuclei = np.clip(0.35 + 0.12 * fine, 0, 2), (coarse + 0.4 * fine > 1.2) * 0.9
    density = eosin[..., None] * np.array([0.22, 0.80, 0.56]) + nuclei[..., None] * np.array([0.65, 0.70, 0.29])
    return np.clip(243 * np.exp(-density) + rng.normal(0, 2, density.shape), 0, 255).astype(np.uint8)


def reduce_mosaic(tissue: list[np.ndarray], factor: int, first: int) -> np.ndarray:
    """A tile of a coarser level, uint8 [256, 256, 3]: the means of `factor` x `factor` tiles of the first level.

    Parameters
    ----------
    tissue
        The kinds of tiles, of which the one at column i and row j of the first level is number 7 i + 13 j.
    factor
        Pixels of the first level per pixel.
    first
        Number of the upper left one.
    """
    side = TILE // factor
    small = [cv2.resize(kind, (side, side), interpolation=cv2.INTER_AREA) for kind in tissue]
    rows = [[small[(first + 7 * i + 13 * j) % KINDS] for i in range(factor)] for j in range(factor)]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def write_slide(path: Path, width: int, height: int, step: int = 2) -> None:
    """Write the pyramid tile by tile: tissue in an ellipse of 27 % of the slide."""
    tissue = [draw_tile(seed) for seed in range(KINDS)]
    glass = np.full((TILE, TILE, 3), 243, np.uint8)
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for level in range(6 if step == 2 else 3):
            wide, high = width // step**level, height // step**level

            mosaic = [reduce_mosaic(tissue, step**level, first) for first in range(KINDS)]

            def tiles(scale: int = step**level, wide: int = wide, high: int = high, mosaic: list[np.ndarray] = mosaic):
                for y in range(0, high, TILE):
                    for x in range(0, wide, TILE):
                        across = (np.arange(x, x + TILE) * scale / width - 0.5) / 0.29
                        along = (np.arange(y, y + TILE) * scale / height - 0.5) / 0.29
                        inside = np.add.outer(along**2, across**2) < 1
                        yield np.where(inside[..., None], mosaic[(x * 7 + y * 13) // TILE * scale % KINDS], glass)

            tiff.write(
                tiles(),
                shape=(high, wide, 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="rgb",
                subsampling=(2, 2),
                compression="jpeg",
                compressionargs={"level": 85},
                subfiletype=1 if level else 0,
                resolution=(1e4 / MPP / step**level, 1e4 / MPP / step**level),
                resolutionunit=3,
                metadata=None,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=40960)
    parser.add_argument("--height", type=int, default=30720)
    parser.add_argument("--codec", choices=["zstd", "lz4"], default="zstd")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3, help="rounds after a first run of the stage")
    parser.add_argument("--step", type=int, choices=[2, 4], default=2)
    size = parser.parse_args()
    reference = StainReference.from_json(
        json.loads((ROOT / "resources/stain/he.json").read_text(encoding="utf-8"))["HE"]
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slide.tiff"
        write_slide(path, size.width, size.height, size.step)
        facts = describe_image(path, ROW)
        for mpp in (MPP, 2 * MPP):
            settings = OmTilingSettings(mpp=mpp, codec=size.codec)
            out = Path(folder) / f"{mpp}.ome.zarr"

            def tile(settings: OmTilingSettings = settings, out: Path = out) -> tuple[float, float]:
                shutil.rmtree(out, ignore_errors=True)
                start, wall = time.process_time(), time.perf_counter()
                tile_slide(path, facts, ROW, settings, {"HE": reference}, out, threads=size.threads)
                return time.process_time() - start, time.perf_counter() - wall

            tile()
            with (out / "tiles.csv").open(encoding="utf-8") as file:
                kept = [row for row in csv.DictReader(file) if row["status"] == "tissue"]
            origin = json.loads((out / "zarr.json").read_text(encoding="utf-8"))["attributes"]["nephroscale"]["origin"]
            factor = round(mpp / MPP)
            places = [
                (int(origin[0]) + int(row["x"]) * factor + i, int(origin[1]) + int(row["y"]) * factor + j)
                for row in kept
                for i in range(0, TILE * factor, TILE)
                for j in range(0, TILE * factor, TILE)
            ]
            decode, read = decoder(path, places), reader(path, facts.reader, places)
            rounds = []
            for _ in range(size.repeats):
                before, reading, (stage, wall_s), after = decode(), read(), tile(), decode()
                decoding = (before + after) / 2
                rounds.append((decoding / stage, decoding, reading / decoding, stage, wall_s))
            shares = [each[0] for each in rounds]
            share, decoding, reading, stage, wall_s = sorted(rounds)[len(rounds) // 2]
            print(
                f"{mpp} µm: {len(kept)} tiles; decoding {decoding:.2f} CPU s = 1; reader {reading:.2f}; stage "
                f"{stage / decoding:.2f} (decoding is {share:.3f} of it, {min(shares):.3f} to {max(shares):.3f}), "
                f"wall time {wall_s:.1f} s; peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB"
            )


def decoder(path: Path, places: list[tuple[int, int]]) -> Callable[[], float]:
    """A function that gives the CPU seconds of decoding the JPEG of level-0 tiles, without anything else."""
    with tifffile.TiffFile(path) as tiff, path.open("rb") as file:
        page, across = tiff.pages.first, -(-tiff.pages.first.imagewidth // TILE)
        tables, data = page.jpegtables, []
        for x, y in places:
            number = y // TILE * across + x // TILE
            file.seek(page.dataoffsets[number])
            data.append(file.read(page.databytecounts[number]))

    def decode() -> float:
        start = time.process_time()
        for each in data:
            imagecodecs.jpeg8_decode(each, tables=tables, outcolorspace=2)
        return time.process_time() - start

    return decode


def reader(path: Path, name: str, places: list[tuple[int, int]]) -> Callable[[], float]:
    """The same with the project's reader."""

    def read() -> float:
        with open_slide(path, name) as slide:
            start = time.process_time()
            for x, y in places:
                slide.read_level(0, x, y, TILE, TILE)
            return time.process_time() - start

    return read


if __name__ == "__main__":
    main()
