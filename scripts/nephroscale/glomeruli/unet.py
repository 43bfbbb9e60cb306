"""The learned detector: training on annotated slides, and the probability of glomerulus over a slide."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from shapely import transform
from shapely.geometry import Polygon
from torch import Tensor

from nephroscale.errors import NephroscaleError
from nephroscale.glomeruli.contours import rasterise
from nephroscale.glomeruli.metrics import dice
from nephroscale.glomeruli.network import UNet, load_network, save_network
from nephroscale.glomeruli.outlines import read_annotations
from nephroscale.glomeruli.view import GLASS, View, Window
from nephroscale.slides.tile_reader import open_tiles

LEARNING_RATE, WEIGHT_DECAY = 1e-2, 1e-4
WARM_UP = 0.05  # share of the steps in which the learning rate rises
HOLD_OUT_FROM = 4  # annotated slides from which one is kept for validation; fewer all serve to learn
EVERY = 10  # steps that one value of the curve is the mean of
SIDE = 768  # of a window in which a slide is segmented, pixels
UNREADABLE = 2


@dataclass(frozen=True)
class Annotated:
    """A slide at the scale of segmentation, with its truth.

    Parameters
    ----------
    name
        Image id.
    pixels
        uint8 [h, w, 3].
    truth
        bool [h, w]: glomeruli.
    status
        uint8 [h, w]: 0 background, 1 tissue, 2 unreadable.
    centres
        [n, 2] y, x of the glomeruli on the slide.
    """

    name: str
    pixels: np.ndarray
    truth: np.ndarray
    status: np.ndarray
    centres: np.ndarray


def train_segmenter(slides: list[dict[str, Any]], settings: dict[str, Any], seed: int, out: Path) -> dict[str, Any]:
    """Train the U-Net on annotated slides.

    Half of the patches lie around glomeruli, half anywhere in tissue. From four slides on, the last by id is held out
    and gives the validation figures; with fewer, all are learned from.

    Parameters
    ----------
    slides
        One dict per slide: `id`, `tiles` (path) and `annotation` (path).
    settings
        The section `glomeruli` of the configuration: `mpp`, `width`, `steps`, `batch`, `patch_px`.
    seed
        Seed of weights, patches and augmentation.
    out
        Folder to create: `weights.safetensors`, `curve.json`.

    Returns
    -------
    dict
        `slides`, `glomeruli`, `parameters`, `loss` at the end, `training_dice`, and `validation_slide` with
        `validation_dice` or None.

    Raises
    ------
    NephroscaleError
        When there is no slide, a slide is no OM slide, or an annotation does not lie on its slide.

    References
    ----------
    Loss: Milletari et al., "V-Net", 3DV 2016 (Dice), beside cross-entropy. Optimiser: Loshchilov & Hutter, "Decoupled
    weight decay regularization", ICLR 2019.
    """
    mpp, patch, steps = float(settings["mpp"]), int(settings["patch_px"]), int(settings["steps"])
    loaded = [load_annotated(slide, mpp) for slide in sorted(slides, key=lambda slide: str(slide["id"]))]
    if not loaded:
        raise NephroscaleError(
            "There is no annotated slide to train the segmenter on.",
            where="patients with use: segmentation",
            todo="Give the column `annotation` of their OM images, or set glomeruli.method to classical.",
        )
    held_out = loaded.pop() if len(loaded) >= HOLD_OUT_FROM else None
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet(int(settings["width"])).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    warm = max(1, round(WARM_UP * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min((step + 1) / warm, 0.5 * (1 + np.cos(np.pi * max(0, step - warm) / max(1, steps - warm)))),
    )
    losses = []
    for _ in range(steps):
        pixels, truth, weight = sample_batch(loaded, int(settings["batch"]), patch, rng)
        optimiser.zero_grad(set_to_none=True)
        loss = segmentation_loss(network(pixels), truth, weight)
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
    network.eval()
    fitted = [_dice_on(network, slide) for slide in loaded]
    figures = {
        "slides": len(loaded),
        "glomeruli": sum(len(slide.centres) for slide in loaded),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "loss": round(float(np.mean(losses[-EVERY:])), 5),
        "training_dice": round(float(np.mean(fitted)), 4),
        "validation_slide": held_out.name if held_out else None,
        "validation_dice": round(_dice_on(network, held_out), 4) if held_out else None,
    }
    curve = [round(float(np.mean(losses[start : start + EVERY])), 5) for start in range(0, steps, EVERY)]
    Path(out).mkdir(parents=True)
    save_network(network, Path(out) / "weights.safetensors", mpp=mpp)
    content = {
        "loss": curve,
        "steps_per_value": EVERY,
        **{key: figures[key] for key in sorted(figures) if key != "loss"},
    }
    (Path(out) / "curve.json").write_text(json.dumps(content, sort_keys=True, indent=1) + "\n")
    return figures


def segment(tiles: Path, weights: Path, settings: dict[str, Any]) -> np.ndarray:
    """Give the probability of glomerulus over a slide, computed window by window.

    Parameters
    ----------
    tiles
        OME-Zarr of an OM slide.
    weights
        Folder or file by :func:`train_segmenter`.
    settings
        The section `glomeruli` of the configuration: `mpp`.

    Returns
    -------
    numpy.ndarray
        uint8 [h, w] at `mpp`: probability in 255ths, 0 outside tissue.
    """
    return probability(View.at_scale(open_tiles(tiles), float(settings["mpp"])), weights, settings)


def probability(view: View, weights: Path | None, settings: dict[str, Any]) -> np.ndarray:  # noqa: ARG001
    """Do the same as :func:`segment` on an opened view.

    Parameters
    ----------
    view
        The slide at the scale of segmentation.
    weights
        Folder or file by :func:`train_segmenter`.
    settings
        Not used: whatever matters was settled in training.

    Raises
    ------
    NephroscaleError
        When there are no weights, or they were trained at another scale.
    """
    if weights is None:
        raise NephroscaleError(
            "The U-Net has no weights.", where="glomeruli.method: unet", todo="Set annotated patients apart."
        )
    network, facts = load_network(weights)
    if abs(facts["mpp"] / (view.mpp or 1.0) - 1) > 0.01:
        raise NephroscaleError(
            f"The segmenter was trained at {facts['mpp']} µm per pixel, not {view.mpp}.",
            where="glomeruli.mpp",
            todo="Train it again.",
        )
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    result = np.zeros(view.shape, np.uint8)
    margin, multiple = UNet.REACH, UNet.MULTIPLE
    for window in view.windows(SIDE):
        rows, columns = slice(window.y, window.y + window.h), slice(window.x, window.x + window.w)
        status = view.status[rows, columns]
        if not (status == 1).any():
            continue
        h = -(-window.h // multiple) * multiple + 2 * margin
        w = -(-window.w // multiple) * multiple + 2 * margin
        pixels = view.read(Window(window.y - margin, window.x - margin, h, w))
        inner = _predict(network, pixels)[margin : margin + window.h, margin : margin + window.w]
        result[rows, columns] = np.where(status == 1, np.rint(inner * 255), 0)
    return result


@torch.inference_mode()
def _predict(network: UNet, pixels: np.ndarray) -> np.ndarray:
    return torch.sigmoid(network(_to_tensor(pixels[None])))[0].numpy()


def _to_tensor(pixels: np.ndarray) -> Tensor:
    """Turn pixels [n, h, w, 3] into [n, 3, h, w], 0 to 1, channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255


def _dice_on(network: UNet, slide: Annotated) -> float:
    multiple = UNet.MULTIPLE
    h, w = slide.truth.shape
    pads = ((0, -h % multiple), (0, -w % multiple), (0, 0))
    found = _predict(network, np.pad(slide.pixels, pads, constant_values=GLASS))[:h, :w] >= 0.5
    return dice(found & (slide.status == 1), slide.truth)


def load_annotated(slide: dict[str, Any], mpp: float) -> Annotated:
    """Load a slide at the scale of segmentation together with its outlines.

    Parameters
    ----------
    slide
        `id`, `tiles` and `annotation`.
    mpp
        Scale, µm per pixel.
    """
    view = View.at_scale(open_tiles(slide["tiles"]), mpp)
    if not view.bright:
        raise NephroscaleError(
            f"The segmenter learns from OM slides; this one is {view.tiles.modality}.",
            where=f"image {slide['id']}",
            todo="Leave its annotation out.",
        )
    polygons = [transform(polygon, view.from_raw) for polygon in read_annotations(slide["annotation"])]
    height, width = view.shape
    frame = Polygon([(0, 0), (width, 0), (width, height), (0, height)])
    inside = [polygon for polygon in polygons if polygon.intersection(frame).area > 0.2 * polygon.area]
    if not inside:
        raise NephroscaleError(
            "No outline of this annotation lies on its slide.",
            where=f"image {slide['id']}",
            todo="Outlines are in pixels of the slide's full resolution; check that the file belongs to this slide.",
        )
    centres = np.array([[polygon.centroid.y, polygon.centroid.x] for polygon in inside])
    return Annotated(str(slide["id"]), view.whole(), rasterise(inside, view.shape), view.status, centres)


def sample_batch(
    slides: list[Annotated], count: int, side: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw patches: alternately around a glomerulus and anywhere in tissue, turned, mirrored and tinted.

    Parameters
    ----------
    slides
        Annotated slides.
    count
        Patches to draw.
    side
        Side of a patch, pixels.
    rng
        Source of every choice.

    Returns
    -------
    tuple of torch.Tensor
        Pixels [n, 3, side, side] from 0 to 1, truth [n, side, side], and weight [n, side, side], which is 0 where the
        slide could not be read.
    """
    pixels = np.full((count, side, side, 3), GLASS, np.uint8)
    truth = np.zeros((count, side, side), np.float32)
    weight = np.ones((count, side, side), np.float32)
    for index in range(count):
        slide = slides[int(rng.integers(len(slides)))]
        if index % 2 == 0:
            centre = slide.centres[int(rng.integers(len(slide.centres)))] + rng.uniform(-0.4, 0.4, 2) * side
        else:
            centre = _anywhere(slide.status, rng)
        y, x = (int(value) for value in np.rint(centre) - side // 2)
        turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
        for source, target in ((slide.pixels, pixels), (slide.truth, truth), (slide.status != UNREADABLE, weight)):
            part = np.rot90(_cut(source, y, x, target[index].copy()), turns)
            target[index] = part[:, ::-1] if mirror else part
    tinted = _to_tensor(pixels)
    gain = torch.from_numpy(rng.uniform(0.85, 1.15, (count, 3, 1, 1)).astype(np.float32))
    offset = torch.from_numpy(rng.uniform(-0.08, 0.08, (count, 1, 1, 1)).astype(np.float32))
    # Tints act on absorbance (1 minus brightness), so that glass stays bright.
    tinted = (1 - (1 - tinted) * gain + offset).clamp(0, 1).contiguous(memory_format=torch.channels_last)
    return tinted, torch.from_numpy(truth), torch.from_numpy(weight)


def _anywhere(status: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a place in tissue; after many misses, any place (a slide of little tissue)."""
    for _ in range(100):
        place = rng.integers(status.shape)
        if status[tuple(place)] == 1:
            break
    return place.astype(float)


def _cut(source: np.ndarray, y: int, x: int, patch: np.ndarray) -> np.ndarray:
    """Copy a square of `source` that may reach beyond it into a patch."""
    side = patch.shape[0]
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + side, source.shape[0]), min(x + side, source.shape[1])
    if top < bottom and left < right:
        patch[top - y : bottom - y, left - x : right - x] = source[top:bottom, left:right]
    return patch


def segmentation_loss(logits: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy plus one minus the batch's soft Dice coefficient.

    Parameters
    ----------
    logits, truth, weight
        [n, h, w].
    """
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth, weight=weight)
    found = torch.sigmoid(logits) * weight
    overlap = 2 * (found * truth).sum() + 1
    return entropy + 1 - overlap / (found.sum() + (truth * weight).sum() + 1)
