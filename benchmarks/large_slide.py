"""Seconds, memory and disk of one large slide through register, tiles, glomeruli and features.

    python benchmarks/large_slide.py [--width 40960] [--height 30720] [--threads 2] [--profile]

Writes a pyramid of 256-px JPEG tiles at 0.25 µm per pixel, of which about a quarter is tissue with glomeruli, into a
temporary folder; trains a segmenter of the default width on another, small slide; and calls the functions of the stages
in processes of their own. Prints for each stage the wall time, the CPU seconds of all threads, the peak of memory and
the bytes that it wrote. With `--profile`, the functions of `glomeruli` that take longest are listed.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import multiprocessing
import pstats
import re
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import tifffile

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts")]
from nephroscale.cohort.image import ImageRow  # noqa: E402
from nephroscale.features.features import extract_features  # noqa: E402
from nephroscale.features.settings import EncoderSettings, ExtractionSettings  # noqa: E402
from nephroscale.features.source import FeatureSource  # noqa: E402
from nephroscale.glomeruli.settings import DetectionSettings, SegmenterSettings  # noqa: E402
from nephroscale.slides.facts import describe_image, read_facts  # noqa: E402
from nephroscale.slides.register import RawImage, register_images  # noqa: E402
from nephroscale.slides.settings import OmTilingSettings  # noqa: E402
from nephroscale.slides.stain import StainReference  # noqa: E402
from nephroscale.slides.tiles import tile_slide  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TILE, MPP = 256, 0.25
PATCH = 4  # tiles on a side of a patch, in the middle of which there is a glomerulus or not
RADIUS_UM = 80.0
ROW = ImageRow(id="I", patient_id="P", modality="OM", stain="HE")


class Cost(NamedTuple):
    """Wall time and CPU time in seconds, peak of memory and bytes written, both in MB."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    written_mb: float


def draw_patch(seed: int, *, glomerulus: bool) -> np.ndarray:
    """Stroma with nuclei, and a denser round tuft in a clear space; uint8 [1024, 1024, 3]."""
    side, rng = PATCH * TILE, np.random.default_rng(seed)
    fine, coarse = (cv2.GaussianBlur(rng.normal(0, 1, (side, side)), (0, 0), s) * s * 2 for s in (2.0, 6.0))
    eosin, nuclei = np.clip(0.35 + 0.12 * fine, 0, 2), (coarse + 0.4 * fine > 1.4) * 0.9
    if glomerulus:
        away = np.hypot(*(np.mgrid[:side, :side] - side / 2)) * MPP
        inside = away < RADIUS_UM
        eosin = np.where(inside, eosin + 0.25, np.where(away < RADIUS_UM + 10, 0.02, eosin))
        nuclei = np.where(inside, (coarse + 0.4 * fine > 0.6) * 0.9, np.where(away < RADIUS_UM + 10, 0, nuclei))
    density = eosin[..., None] * np.array([0.22, 0.80, 0.56]) + nuclei[..., None] * np.array([0.65, 0.70, 0.29])
    return np.clip(243 * np.exp(-density) + rng.normal(0, 2, density.shape), 0, 255).astype(np.uint8)


def write_slide(path: Path, width: int, height: int, *, share: float = 0.29) -> list[tuple[float, float]]:
    """Write a pyramid tile by tile, and give the centres x, y of its glomeruli; tissue is in an ellipse.

    Parameters
    ----------
    path
        TIFF to write.
    width, height
        In pixels.
    share
        Half axes of the ellipse, as parts of the sides.
    """
    patches = [draw_patch(seed, glomerulus=seed % 3 == 0) for seed in range(6)]
    glass = np.full((TILE, TILE, 3), 243, np.uint8)
    side = PATCH * TILE

    def number(x: int, y: int) -> int:
        return (x // side * 5 + y // side * 7) % len(patches)

    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for level in range(5):
            scale = 2**level
            wide, high = width // scale, height // scale
            small = [
                cv2.resize(patch, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA) for patch in patches
            ]

            def tiles(
                scale: int = scale, wide: int = wide, high: int = high, small: list[np.ndarray] = small
            ) -> Iterator[np.ndarray]:
                for y in range(0, high, TILE):
                    for x in range(0, wide, TILE):
                        across = (np.arange(x, x + TILE) * scale / width - 0.5) / share
                        along = (np.arange(y, y + TILE) * scale / height - 0.5) / share
                        inside = np.add.outer(along**2, across**2) < 1
                        if not inside.any():
                            yield glass
                            continue
                        part, tissue = side // scale, np.empty((TILE, TILE, 3), np.uint8)
                        step = min(part, TILE)
                        for j in range(0, TILE, step):
                            for i in range(0, TILE, step):
                                patch = small[number((x + i) * scale, (y + j) * scale)]
                                v, u = (y + j) % part, (x + i) % part
                                tissue[j : j + step, i : i + step] = patch[v : v + step, u : u + step]
                        yield np.where(inside[..., None], tissue, glass)

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
                resolution=(1e4 / MPP / scale, 1e4 / MPP / scale),
                resolutionunit=3,
                metadata=None,
            )
    reach = RADIUS_UM / MPP
    return [
        (x + side / 2, y + side / 2)
        for y in range(0, height - side + 1, side)
        for x in range(0, width - side + 1, side)
        if number(x, y) % 3 == 0
        and (abs(x + side / 2 - width / 2) + reach) ** 2 / width**2
        + (abs(y + side / 2 - height / 2) + reach) ** 2 / height**2
        < share**2
    ]


def references() -> dict[str, StainReference]:
    """The shipped stain reference."""
    text = (ROOT / "resources/stain/he.json").read_text(encoding="utf-8")
    return {"HE": StainReference.from_json(json.loads(text)["HE"])}


def register(folder: Path) -> None:
    """Register the slide `slide.tiff`."""
    register_images({ROW.id: RawImage(folder / "slide.tiff", ROW, "0" * 64)}, folder / "facts.json")


def tile(folder: Path, threads: int) -> None:
    """Tile it."""
    facts = read_facts(folder / "facts.json")[ROW.id]
    out = folder / "tiles.ome.zarr"
    tile_slide(folder / "slide.tiff", facts, ROW, OmTilingSettings(), references(), out, threads=threads)


def train(folder: Path, threads: int, steps: int = 60) -> None:
    """Train a segmenter of the default width on a slide of its own."""
    import torch

    from nephroscale.glomeruli.labelled_slide import AnnotatedSlide
    from nephroscale.glomeruli.segmenter import train_segmenter

    torch.set_num_threads(threads)
    centres = write_slide(folder / "small.tiff", 10240, 8192, share=0.45)
    facts = describe_image(folder / "small.tiff", ROW)
    tile_slide(folder / "small.tiff", facts, ROW, OmTilingSettings(), references(), folder / "small.ome.zarr")
    angle = np.linspace(0, 2 * np.pi, 65)
    circle = np.column_stack([np.cos(angle), np.sin(angle)]) * RADIUS_UM / MPP
    features = [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [(circle + one).tolist()]}}
        for one in centres
    ]
    (folder / "small.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    settings = SegmenterSettings()
    settings = replace(settings, unet=replace(settings.unet, steps=steps))
    slide = AnnotatedSlide("S", folder / "small.ome.zarr", folder / "small.geojson")
    train_segmenter([slide], settings, 1, folder / "segmenter")


def find(folder: Path, threads: int, profile: bool = False) -> None:
    """Find the glomeruli."""
    import torch

    from nephroscale.glomeruli.glomeruli import find_glomeruli

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    watch = cProfile.Profile()
    if profile:
        watch.enable()
    settings = DetectionSettings(method="unet")
    find_glomeruli(folder / "tiles.ome.zarr", folder / "segmenter", ROW, settings, folder / "glomeruli", "0" * 64)
    if profile:
        watch.disable()
        pstats.Stats(watch).sort_stats("tottime").print_stats(18)


def extract(folder: Path) -> None:
    """Encode the crops, by an encoder that needs no weights."""
    encoder, settings = EncoderSettings("texture"), ExtractionSettings(om_glomeruli=16, stains=("HE",))
    extract_features("P", "OM", [FeatureSource(ROW.id, folder / "glomeruli")], encoder, settings, folder / "features")


def measure(call: Callable[..., None], *arguments: object) -> Cost:
    """Run a function in a process of its own, and measure it; importing counts."""
    folder = arguments[0]
    assert isinstance(folder, Path)
    before, start = _size(folder), time.perf_counter()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        cpu, peak = pool.submit(_watched, call, arguments).result()
    return Cost(time.perf_counter() - start, cpu, peak, (_size(folder) - before) / 2**20)


def _watched(call: Callable[..., None], arguments: tuple[object, ...]) -> tuple[float, float]:
    call(*arguments)
    # Linux's own peak of the process: that of getrusage begins with the memory of the parent.
    peak = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))
    return time.process_time(), int(peak[1]) / 1024 if peak else float("nan")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=40960)
    parser.add_argument("--height", type=int, default=30720)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--folder", type=Path, help="work here, and keep what is there already")
    size = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = size.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        if not (folder / "slide.tiff").exists():
            centres = write_slide(folder / "slide.tiff", size.width, size.height)
            print(f"{size.width} x {size.height} px, {len(centres)} glomeruli", flush=True)
        steps: list[tuple[str, Callable[..., None], tuple[object, ...], str]] = [
            ("register", register, (), "facts.json"),
            ("tiles", tile, (size.threads,), "tiles.ome.zarr"),
            ("(training)", train, (size.threads,), "segmenter"),
            ("glomeruli", find, (size.threads, size.profile), "glomeruli"),
            ("features", extract, (), "features"),
        ]
        for name, call, further, made in steps:
            if not (folder / made).exists():
                cost = measure(call, folder, *further)
                print(
                    f"{name}: {cost.wall_s:.1f} s, {cost.cpu_s:.1f} CPU s, peak {cost.peak_mb:.0f} MB, "
                    f"{cost.written_mb:.0f} MB written",
                    flush=True,
                )


if __name__ == "__main__":
    main()
