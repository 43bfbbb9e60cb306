"""How well the segmenter finds glomeruli in real fields that it was not trained on.

    python benchmarks/kidney.py ../shared/data/kidney_om [--seeds 1 2 3] [--steps N] [--overlays FOLDER] [--no-fields]

Trains on field C1 and tests on C2, and the reverse, with each seed; fits the stain reference on the field trained on,
and tiles, trains and detects with the functions of the stages. Prints recall, precision and Dice: an outline counts as
found at an intersection over union of 0.5; a prediction that touches the border of the field and meets no outline is
left out, because glomeruli cut by the border are not outlined. Then one weight is changed by 1e-7 before training, and
the change of Dice is printed. At last it trains on both fields and lists the number of outlines found in each other
field.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import torch
from shapely import union_all
from shapely.geometry import Polygon, box

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts")]
from nephroscale.cohort.image import ImageRow, TableScale  # noqa: E402
from nephroscale.errors import Rejected  # noqa: E402
from nephroscale.glomeruli import segmenter  # noqa: E402
from nephroscale.glomeruli.contours import read_geojson  # noqa: E402
from nephroscale.glomeruli.glomeruli import find_glomeruli  # noqa: E402
from nephroscale.glomeruli.labelled_slide import AnnotatedSlide  # noqa: E402
from nephroscale.glomeruli.metrics import detection  # noqa: E402
from nephroscale.glomeruli.network import UNet  # noqa: E402
from nephroscale.glomeruli.outlines import read_outlines  # noqa: E402
from nephroscale.glomeruli.segmenter import train_segmenter  # noqa: E402
from nephroscale.glomeruli.settings import GlomeruliSettings, SegmenterSettings  # noqa: E402
from nephroscale.slides.facts import describe_image  # noqa: E402
from nephroscale.slides.reference import ReferenceSlide, read_reference, write_reference  # noqa: E402
from nephroscale.slides.settings import OmTilingSettings  # noqa: E402
from nephroscale.slides.tiles import tile_slide  # noqa: E402

OM = OmTilingSettings(mpp=0.6667)
BORDER_PX = 6  # of the file; a prediction nearer to its edge touches the border


@dataclass(frozen=True)
class Field:
    """A photograph: its file, µm per pixel, stain, and the number of glomeruli where there are no outlines."""

    file: str
    mpp: float
    stain: str
    expected: str = ""

    @property
    def row(self) -> ImageRow:
        name = self.file.partition(".")[0]
        return ImageRow(name, name, "OM", stain=self.stain, scale=TableScale(self.mpp, "um"))


C1, C2 = (Field(f"vegf_ihc_{name}.jpg", 0.6667, "VEGF") for name in ("C1", "C2"))
OTHERS = (
    Field("0486052bb_positive_000096_image.png", 0.5, "PAS", "1, cut by the border"),
    Field("local1.png", 0.4, "Masson", "0"),
    Field("local2.png", 0.4, "Masson", "0"),
    Field("tcga-green-pen.png", 2.0, "HE", "0"),  # by the size of its fat cells
)


def tile(folder: Path, field: Field, trained: tuple[Field, ...], work: Path) -> Path:
    """Tile a field, normalised to the stains of the fields that are trained on."""
    study = work / "+".join(each.row.id for each in trained)
    out = study / f"{field.row.id}.ome.zarr"
    if not out.exists():
        study.mkdir(exist_ok=True)
        facts = {each: describe_image(folder / each.file, each.row) for each in {*trained, field}}
        slides = [ReferenceSlide(folder / each.file, facts[each], each.stain) for each in trained]
        write_reference(slides, OM, study / "reference.json")
        references = read_reference(study / "reference.json")
        scale = replace(OM, mpp=max(OM.mpp, field.mpp))
        tile_slide(folder / field.file, facts[field], field.row, scale, references, out)
    return out


def train(folder: Path, trained: tuple[Field, ...], settings: SegmenterSettings, seed: int, work: Path) -> Path:
    """Train the segmenter on fields, and give the folder of its weights."""
    slides = [
        AnnotatedSlide(each.row.id, tile(folder, each, trained, work), annotation(folder, each)) for each in trained
    ]
    out = Path(tempfile.mkdtemp(dir=work)) / "weights"
    train_segmenter(slides, settings, seed, out)
    return out


def annotation(folder: Path, field: Field) -> Path:
    return folder / f"{field.row.id}.imagej_rois.zip"


def find(
    tiles: Path, weights: Path, field: Field, settings: GlomeruliSettings, work: Path
) -> tuple[list[Polygon], str]:
    """Find glomeruli; give their outlines in pixels of the file, and how they were found."""
    out = Path(tempfile.mkdtemp(dir=work)) / "glomeruli"
    try:
        figures = find_glomeruli(tiles, weights, field.row, settings, out, "0" * 64)
    except Rejected as verdict:
        return [], str(verdict.figures.get("method"))
    return [one.polygon for one in read_geojson(out / "glomeruli.geojson")], figures["method"]


class Nudged(UNet):
    """The network with one weight changed by 1e-7."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        with torch.no_grad():
            self.stem[0].weight[0, 0, 0, 0] += 1e-7


@dataclass
class Tally:
    """Counts and areas of outlines, summed over fields."""

    true: int = 0
    found: int = 0
    matched: int = 0
    areas: float = 0.0
    overlap: float = 0.0

    def add(self, other: Tally) -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    @property
    def dice(self) -> float:
        return 2 * self.overlap / self.areas if self.areas else 1.0

    def __str__(self) -> str:
        recall, precision = self.matched / max(1, self.true), self.matched / max(1, self.found)
        return (
            f"recall {recall:.3f}, precision {precision:.3f}, Dice {self.dice:.3f} "
            f"(of {self.true} missed {self.true - self.matched}, false {self.found - self.matched})"
        )


def score(found: list[Polygon], true: list[Polygon], size: tuple[int, int]) -> Tally:
    """Compare outlines of one field, in pixels; `size` is its height and width."""
    inner = box(0, 0, size[1], size[0]).buffer(-BORDER_PX)
    kept = [one for one in found if inner.contains(one) or any(one.intersects(each) for each in true)]
    figures = detection(kept, true)
    a, b = union_all(kept), union_all(true)
    return Tally(len(true), len(kept), int(figures["matched"]), a.area + b.area, a.intersection(b).area)


def draw(path: Path, picture: np.ndarray, found: list[Polygon], true: list[Polygon]) -> None:
    """Draw the reference in green and predictions in red."""
    picture = picture.copy()
    for polygons, colour in ((true, (0, 160, 0)), (found, (0, 0, 255))):
        lines = [np.rint(np.asarray(one.exterior.coords)).astype(np.int32) for one in polygons]
        cv2.polylines(picture, lines, True, colour, 3)
    cv2.imwrite(str(path), picture)


def evaluate(folder: Path, settings: GlomeruliSettings, seed: int, work: Path, overlays: Path | None) -> list[Tally]:
    """Train on each of the two fields and test on the other."""
    tallies = []
    for source, target in ((C1, C2), (C2, C1)):
        start, busy = time.perf_counter(), time.process_time()
        weights = train(folder, (source,), settings.narrow(SegmenterSettings), seed, work)
        seconds, trained_s = time.perf_counter() - start, time.process_time() - busy
        found, _ = find(tile(folder, target, (source,), work), weights, target, settings, work)
        true = read_outlines(annotation(folder, target)).polygons
        picture = cv2.imread(str(folder / target.file))
        one = score(found, true, picture.shape[:2])
        print(
            f"seed {seed}, {source.row.id[-2:]} to {target.row.id[-2:]}: {one}; "
            f"training {trained_s:.0f} CPU s, {seconds:.0f} s",
            flush=True,
        )
        if overlays:
            draw(overlays / f"{target.row.id}-seed{seed}.png", picture, found, true)
        tallies.append(one)
    return tallies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, help="training steps, instead of the default")
    parser.add_argument("--mpp", type=float, help="scale of segmentation, instead of the default")
    parser.add_argument("--overlays", type=Path, help="folder for pictures of what was found")
    parser.add_argument("--no-fields", action="store_true", help="leave out the other fields and the last-bit check")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = GlomeruliSettings()
    if arguments.mpp:
        settings = replace(settings, mpp=arguments.mpp)
    if arguments.steps:
        settings = replace(settings, unet=replace(settings.unet, steps=arguments.steps))
    if arguments.overlays:
        arguments.overlays.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        work, pooled = Path(temporary), Tally()
        runs = [evaluate(arguments.folder, settings, seed, work, arguments.overlays) for seed in arguments.seeds]
        for one in [tally for run in runs for tally in run]:
            pooled.add(one)
        print(f"pooled: {pooled}")
        if not arguments.no_fields:
            with mock.patch.object(segmenter, "UNet", Nudged):
                nudged = evaluate(arguments.folder, settings, arguments.seeds[0], work, None)
            change = max(abs(one.dice - other.dice) for one, other in zip(runs[0], nudged, strict=True))
            print(f"one weight changed by 1e-7: Dice changes by up to {change:.4f}")
            list_fields(arguments.folder, settings, arguments.seeds, work, arguments.overlays)
    print(f"{time.perf_counter() - start:.0f} s, {time.process_time():.0f} CPU s in all")


def list_fields(folder: Path, settings: GlomeruliSettings, seeds: list[int], work: Path, overlays: Path | None) -> None:
    """Train on both fields, and print the number of outlines in each other field."""
    for seed in seeds:
        weights = train(folder, (C1, C2), settings.narrow(SegmenterSettings), seed, work)
        for field in OTHERS:
            found, method = find(tile(folder, field, (C1, C2), work), weights, field, settings, work)
            print(f"seed {seed}, {field.row.id}: {len(found)} found by {method} (right: {field.expected})", flush=True)
            if overlays:
                draw(overlays / f"{field.row.id}-seed{seed}.png", cv2.imread(str(folder / field.file)), found, [])


if __name__ == "__main__":
    main()
