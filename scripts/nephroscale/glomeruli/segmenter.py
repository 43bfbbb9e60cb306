"""Training of the segmenter: a U-Net that learns from annotated slides."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import numpy as np
import torch
from torch import Tensor

from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.glomeruli.contours import rasterise
from nephroscale.glomeruli.metrics import dice
from nephroscale.glomeruli.network import UNet, save_weights
from nephroscale.glomeruli.outlines import LeftOut, list_left_out, outlines_on
from nephroscale.glomeruli.tile_view import GLASS, TileView
from nephroscale.glomeruli.unet import predict, to_tensor
from nephroscale.slides.tile_reader import open_tiles
from nephroscale.slides.tile_status import TileStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nephroscale.glomeruli.settings import SegmenterSettings

LEARNING_RATE, WEIGHT_DECAY = 1e-2, 1e-4
WARM_UP = 0.05  # fraction of the steps in which the learning rate rises
MIN_SLIDES_FOR_VALIDATION = 4  # with fewer slides, all are used for training
EVERY = 10  # steps that one value of the curve is the mean of


class AnnotatedSlide(NamedTuple):
    """A slide to learn from.

    Attributes
    ----------
    id
        Image id.
    tiles
        OME-Zarr of the slide.
    annotation
        File with outlines of its glomeruli.
    """

    id: str
    tiles: Path
    annotation: Path


@dataclass(frozen=True)
class LabelledSlide:
    """A slide at the scale of segmentation, with its reference mask.

    Parameters
    ----------
    name
        Image id.
    pixels
        uint8 [h, w, 3].
    truth
        bool [h, w], glomeruli.
    status
        uint8 [h, w], values of :class:`TileStatus`.
    known
        bool [h, w]: pixels that are readable, in an annotated area, and in no outline that was left out.
    centres
        float64 [n, 2], y, x of the glomeruli in pixels.
    left_out
        Why objects of the annotation were left out, to their number.
    """

    name: str
    pixels: np.ndarray
    truth: np.ndarray
    status: np.ndarray
    known: np.ndarray
    centres: np.ndarray
    left_out: Mapping[str, int]


class SegmenterFigures(TypedDict):
    """Figures of a training.

    The validation ones are None if no slide was held out. `outlines_left_out` has slides and objects of annotations.
    """

    slides: int
    glomeruli: int
    outlines_left_out: list[LeftOut]
    parameters: int
    loss: float
    training_dice: float
    validation_slide: str | None
    validation_dice: float | None


def train_segmenter(
    slides: Sequence[AnnotatedSlide], settings: SegmenterSettings, seed: int, out: Path
) -> SegmenterFigures:
    """Train the U-Net on annotated slides.

    Half of the patches are around glomeruli, half anywhere in tissue. If there are at least four slides, the last one
    by id is held out for validation.

    Parameters
    ----------
    slides
        OM slides.
    settings
        Scale and U-Net.
    seed
        Seed of weights, patches and augmentation.
    out
        Folder to create: `weights.safetensors`, `curve.json`.

    Raises
    ------
    NephroscaleError
        When there is no slide.
    Rejected
        When no slide can be used.

    References
    ----------
    Loss: Milletari et al., "V-Net", 3DV 2016 (Dice), plus cross-entropy. Optimiser: Loshchilov & Hutter, "Decoupled
    weight decay regularization", ICLR 2019.
    """
    steps = settings.unet.steps
    if not slides:
        raise NephroscaleError(
            "There is no annotated slide to train the segmenter on.",
            where="patients with `use: segmentation`",
            fix="Fill the column `annotation` of their OM images, or set glomeruli.method to classical.",
        )
    loaded, left_out = _load_all(slides, settings)
    held_out = loaded.pop() if len(loaded) >= MIN_SLIDES_FOR_VALIDATION else None
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet(settings.unet.width).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    warm = max(1, round(WARM_UP * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min((step + 1) / warm, 0.5 * (1 + np.cos(np.pi * max(0, step - warm) / max(1, steps - warm)))),
    )
    losses = []
    for _ in range(steps):
        pixels, truth, weight = sample_batch(loaded, settings.unet.batch_size, settings.unet.patch_px, rng)
        optimiser.zero_grad(set_to_none=True)
        loss = segmentation_loss(network(pixels), truth, weight)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
    network.eval()
    fitted = [_dice_on(network, slide) for slide in loaded]
    figures: SegmenterFigures = {
        "slides": len(loaded),
        "glomeruli": sum(len(slide.centres) for slide in loaded),
        "outlines_left_out": left_out,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "loss": round(float(np.mean(losses[-EVERY:])), 5),
        "training_dice": round(float(np.mean(fitted)), 4),
        "validation_slide": held_out.name if held_out else None,
        "validation_dice": round(_dice_on(network, held_out), 4) if held_out else None,
    }
    curve = [round(float(np.mean(losses[start : start + EVERY])), 5) for start in range(0, steps, EVERY)]
    out.mkdir(parents=True)
    save_weights(network, settings.mpp, out / "weights.safetensors")
    content = {**figures, "loss": curve, "steps_per_value": EVERY}
    (out / "curve.json").write_text(json.dumps(content, sort_keys=True, indent=1) + "\n")
    return figures


def _dice_on(network: UNet, slide: LabelledSlide) -> float:
    multiple = UNet.MULTIPLE
    h, w = slide.truth.shape
    pads = ((0, -h % multiple), (0, -w % multiple), (0, 0))
    found = predict(network, np.pad(slide.pixels, pads, constant_values=GLASS))[:h, :w] >= 0.5
    return dice(found & slide.known & (slide.status == TileStatus.TISSUE), slide.truth & slide.known)


def _load_all(
    slides: Sequence[AnnotatedSlide], settings: SegmenterSettings
) -> tuple[list[LabelledSlide], list[LeftOut]]:
    """Load the slides by id, and list those that cannot be used, and the objects that were left out."""
    loaded: list[LabelledSlide] = []
    left_out: list[LeftOut] = []
    for slide in sorted(slides, key=lambda slide: slide.id):
        try:
            one = load_annotated(slide, settings)
        except Rejected as verdict:
            left_out.append({"id": slide.id, "reason": verdict.reason})
        else:
            loaded.append(one)
            left_out += list_left_out(slide.id, one.left_out)
    if not any(len(slide.centres) for slide in loaded):
        raise Rejected("none of the annotated slides can be used to train the segmenter", outlines_left_out=left_out)
    return loaded, left_out


def load_annotated(slide: AnnotatedSlide, settings: SegmenterSettings) -> LabelledSlide:
    """Load a slide and its outlines at the scale of segmentation.

    Parameters
    ----------
    slide
        The slide.
    settings
        Scale, and which outlines count.

    Raises
    ------
    NephroscaleError
        When the slide is not OM.
    Rejected
        When its annotation cannot be used.
    """
    view = TileView.at_scale(open_tiles(slide.tiles), settings.mpp)
    if not view.bright:
        raise NephroscaleError(
            f"The segmenter is trained on OM slides, but this one is {view.tiles.modality}.",
            where=f"image {slide.id}",
            fix="Remove its annotation.",
        )
    drawn = outlines_on(view, slide.annotation, settings)
    truth = rasterise(drawn.polygons, view.shape)
    known = view.status != TileStatus.UNREADABLE
    if drawn.areas is not None:
        known &= rasterise(drawn.areas, view.shape) | truth
    known &= ~rasterise(drawn.unknown, view.shape) | truth
    centres = np.array([[polygon.centroid.y, polygon.centroid.x] for polygon in drawn.polygons]).reshape(-1, 2)
    return LabelledSlide(slide.id, view.whole(), truth, view.status, known, centres, drawn.left_out)


class PatchBatch(NamedTuple):
    """Patches of one training step.

    Attributes
    ----------
    pixels
        float32 [n, 3, side, side], 0 to 1.
    truth
        float32 [n, side, side], 1 in glomeruli.
    weight
        float32 [n, side, side], 0 where the slide is unreadable or nothing is known of it, else 1.
    """

    pixels: Tensor
    truth: Tensor
    weight: Tensor


def sample_batch(slides: Sequence[LabelledSlide], count: int, side: int, rng: np.random.Generator) -> PatchBatch:
    """Sample patches, alternately around a glomerulus and anywhere in tissue; rotate, flip and tint them.

    Parameters
    ----------
    slides
        Slides to sample from.
    count
        Number of patches.
    side
        Side of a patch, pixels.
    rng
        Random number generator.
    """
    pixels = np.full((count, side, side, 3), GLASS, np.uint8)
    truth = np.zeros((count, side, side), np.float32)
    weight = np.ones((count, side, side), np.float32)
    for index in range(count):
        slide = slides[int(rng.integers(len(slides)))]
        if index % 2 == 0 and len(slide.centres):
            centre = slide.centres[int(rng.integers(len(slide.centres)))] + rng.uniform(-0.4, 0.4, 2) * side
        else:
            centre = _anywhere(slide, rng)
        y, x = (int(value) for value in np.rint(centre) - side // 2)
        turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
        for source, target in (
            (slide.pixels, pixels),
            (slide.truth, truth),
            (slide.known, weight),
        ):
            part = np.rot90(_cut(source, y, x, target[index].copy()), turns)
            target[index] = part[:, ::-1] if mirror else part
    tinted = to_tensor(pixels)
    gain = torch.from_numpy(rng.uniform(0.85, 1.15, (count, 3, 1, 1)).astype(np.float32))
    offset = torch.from_numpy(rng.uniform(-0.08, 0.08, (count, 1, 1, 1)).astype(np.float32))
    # Tints scale the absorbance (1 minus brightness), so that glass stays bright.
    tinted = (1 - (1 - tinted) * gain + offset).clamp(0, 1).contiguous(memory_format=torch.channels_last)
    return PatchBatch(tinted, torch.from_numpy(truth), torch.from_numpy(weight))


def _anywhere(slide: LabelledSlide, rng: np.random.Generator) -> np.ndarray:
    """Sample a position in known tissue, or after 100 misses (a slide with little of it) any position."""
    for _ in range(100):
        place = rng.integers(slide.status.shape)
        if slide.status[tuple(place)] == TileStatus.TISSUE and slide.known[tuple(place)]:
            break
    return place.astype(float)


def _cut(source: np.ndarray, y: int, x: int, patch: np.ndarray) -> np.ndarray:
    """Copy a square of `source`, which may reach beyond it, into a patch."""
    side = patch.shape[0]
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + side, source.shape[0]), min(x + side, source.shape[1])
    if top < bottom and left < right:
        patch[top - y : bottom - y, left - x : right - x] = source[top:bottom, left:right]
    return patch


def segmentation_loss(logits: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Compute cross-entropy plus one minus the soft Dice coefficient of the batch.

    Parameters
    ----------
    logits, truth, weight
        float32 [n, h, w].
    """
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth, weight=weight)
    found = torch.sigmoid(logits) * weight
    overlap = 2 * (found * truth).sum() + 1
    return entropy + 1 - overlap / (found.sum() + (truth * weight).sum() + 1)
