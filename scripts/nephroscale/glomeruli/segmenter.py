"""Training of the segmenter: a U-Net that learns from annotated slides."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypedDict, cast

import cv2
import numpy as np
import torch
from skimage.color import hed_from_rgb, rgb_from_hed
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.glomeruli.contours import rasterise
from nephroscale.glomeruli.metrics import dice
from nephroscale.glomeruli.network import SegmenterWeights, UNet, save_weights
from nephroscale.glomeruli.outlines import LeftOut, list_left_out, outlines_on, polygons_of
from nephroscale.glomeruli.stain_likeness import describe_colours
from nephroscale.glomeruli.tile_view import GLASS, TileView
from nephroscale.glomeruli.unet import predict
from nephroscale.slides.tile_reader import open_tiles
from nephroscale.slides.tile_status import TileStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nephroscale.glomeruli.settings import SegmenterSettings

LEARNING_RATE, WEIGHT_DECAY = 5e-3, 1e-4
WARM_UP = 0.1  # fraction of the steps in which the learning rate rises
AVERAGED = 0.1  # fraction of the steps that the mean of the weights reaches back
MAX_GRADIENT = 1.0  # norm of all gradients together
RIM_UM = 60.0  # width of the rim along borders in which only outlines are known: glomeruli cut there are not outlined
LARGEST_SCALE = 1.15  # patches are magnified by up to this, or made smaller
STAIN_GAIN = 0.2  # standard deviation of the logarithm by which the concentration of a stain changes
MIN_SLIDES_FOR_VALIDATION = 4  # with fewer slides, all are used for training
LOG_LEVELS = np.log(np.maximum(np.arange(256), 1) / GLASS).astype(np.float32)
MIN_OUTLINES_FOR_SIZE = 5  # from fewer outlines the smallest glomerulus is not estimated
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
        bool [h, w]: readable pixels in an outline, or within an annotated area at some distance from its border, where
        glomeruli may be cut and without outline, and in no outline that was left out.
    centres
        float64 [n, 2], y, x of the glomeruli in pixels.
    diameters_um
        float64 [n], of the discs of equal area.
    colours
        By :func:`.stain_likeness.describe_colours`.
    left_out
        Why objects of the annotation were left out, to their number.
    """

    name: str
    pixels: np.ndarray
    truth: np.ndarray
    status: np.ndarray
    known: np.ndarray
    centres: np.ndarray
    diameters_um: np.ndarray
    colours: np.ndarray
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
    """Train the U-Net on annotated slides; the weights are a moving average over the last steps.

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
    Average: Polyak & Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J Control Optim 30 (1992).
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
    decay = 1 - 1 / max(1.0, AVERAGED * steps)
    averaging = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    averaged = AveragedModel(network, multi_avg_fn=averaging, use_buffers=True)
    losses = []
    for _ in range(steps):
        pixels, truth, weight = sample_batch(loaded, settings.unet.batch_size, settings.unet.patch_px, rng)
        optimiser.zero_grad(set_to_none=True)
        loss = segmentation_loss(network(pixels), truth, weight)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT)
        optimiser.step()
        schedule.step()
        averaged.update_parameters(network)
        losses.append(float(loss.detach()))
    network = cast("UNet", averaged.module.eval())
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
    diameters = np.concatenate([slide.diameters_um for slide in loaded])
    smallest = round(float(diameters.min()), 1) if len(diameters) >= MIN_OUTLINES_FOR_SIZE else 0.0
    colours = np.stack([slide.colours for slide in loaded])
    save_weights(SegmenterWeights(network, settings.mpp, colours, smallest), out / "weights.safetensors")
    content = {**figures, "loss": curve, "steps_per_value": EVERY}
    (out / "curve.json").write_text(json.dumps(content, sort_keys=True, indent=1) + "\n")
    return figures


def _dice_on(network: UNet, slide: LabelledSlide) -> float:
    multiple = UNet.MULTIPLE
    h, w = slide.truth.shape
    pads = ((0, -h % multiple), (0, -w % multiple), (0, 0))
    found = predict(network, np.pad(slide.pixels, pads, mode="symmetric"))[:h, :w] >= 0.5
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
    rim = RIM_UM / settings.mpp
    if drawn.areas is None:
        known = np.zeros(view.shape, bool)
        edge = round(rim)
        known[edge : view.shape[0] - edge, edge : view.shape[1] - edge] = True
    else:
        known = rasterise([inner for area in drawn.areas for inner in polygons_of(area.buffer(-rim))], view.shape)
    known &= ~rasterise(drawn.unknown, view.shape)
    known = (known | truth) & (view.status != TileStatus.UNREADABLE)
    centres = np.array([[polygon.centroid.y, polygon.centroid.x] for polygon in drawn.polygons]).reshape(-1, 2)
    diameters = 2 * settings.mpp * np.sqrt(np.array([polygon.area for polygon in drawn.polygons]) / np.pi)
    colours = describe_colours(view.tiles)
    return LabelledSlide(slide.id, view.whole(), truth, view.status, known, centres, diameters, colours, drawn.left_out)


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
    """Sample patches, alternately around a glomerulus and anywhere in tissue; turn, scale, flip and restain them.

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
    pixels = np.empty((count, side, side, 3), np.uint8)
    truth, weight = np.empty((2, count, side, side), np.float32)
    for index in range(count):
        slide = slides[int(rng.integers(len(slides)))]
        if index % 2 == 0 and len(slide.centres):
            centre = slide.centres[int(rng.integers(len(slide.centres)))] + rng.uniform(-0.4, 0.4, 2) * side
        else:
            centre = _anywhere(slide, rng)
        place = _placement(centre, side, rng)
        for source, target in (
            (slide.pixels, pixels),
            (slide.truth, truth),
            (slide.known, weight),
        ):
            target[index] = _cut(source, place, side)
    tinted = torch.from_numpy(np.stack([change_stains(patch, rng) for patch in pixels])).permute(0, 3, 1, 2)
    return PatchBatch(tinted, torch.from_numpy(truth), torch.from_numpy(weight))


def change_stains(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change the concentrations of haematoxylin, eosin and DAB; glass stays as it is.

    Parameters
    ----------
    pixels
        uint8 [h, w, 3].
    rng
        Random number generator.

    Returns
    -------
    numpy.ndarray
        float32 [h, w, 3], 0 to 1.

    References
    ----------
    Stains: Ruifrok & Johnston, Anal Quant Cytol Histol 23 (2001). Augmentation: Tellez et al., IEEE Trans Med Imaging
    37 (2018).
    """
    gains = np.exp(rng.normal(0, STAIN_GAIN, 3))
    change = (hed_from_rgb * gains) @ rgb_from_hed
    density = cv2.transform(LOG_LEVELS[pixels], change.T)  # minus the density
    changed: np.ndarray = np.minimum(np.exp(density) * np.float32(GLASS / 255), 1)
    return changed


def _placement(centre: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """Draw rotation, scale and flip of a patch around y, x: the matrix [2, 3] from its pixels to those of the slide."""
    angle = rng.uniform(0, 2 * np.pi)
    scale = LARGEST_SCALE ** rng.uniform(-1, 1)
    sine, cosine, flip = np.sin(angle) / scale, np.cos(angle) / scale, 1 - 2 * int(rng.integers(2))
    turn = np.array([[flip * cosine, -sine], [flip * sine, cosine]])
    return np.column_stack([turn, centre[::-1] - turn @ np.full(2, (side - 1) / 2)])


def _anywhere(slide: LabelledSlide, rng: np.random.Generator) -> np.ndarray:
    """Sample a position in known tissue, or after 100 misses (a slide with little of it) any position."""
    for _ in range(100):
        place = rng.integers(slide.status.shape)
        if slide.status[tuple(place)] == TileStatus.TISSUE and slide.known[tuple(place)]:
            break
    return place.astype(float)


def _cut(source: np.ndarray, place: np.ndarray, side: int) -> np.ndarray:
    """Cut a patch; beyond the slide pixels are those of its mirror image, and masks are False."""
    is_mask = source.dtype == bool
    corners = place @ np.array([[0, side, 0, side], [0, 0, side, side], [1, 1, 1, 1]])
    low = np.clip(np.floor(corners.min(1)).astype(int) - side // 2, 0, source.shape[1::-1])
    high = np.clip(np.ceil(corners.max(1)).astype(int) + side // 2, 0, source.shape[1::-1])
    part = np.ascontiguousarray(source[low[1] : high[1], low[0] : high[0]])
    return cv2.warpAffine(
        part.view(np.uint8) if is_mask else part,
        np.column_stack([place[:, :2], place[:, 2] - low]),
        (side, side),
        flags=cv2.WARP_INVERSE_MAP | (cv2.INTER_NEAREST if is_mask else cv2.INTER_LINEAR),
        borderMode=cv2.BORDER_CONSTANT if is_mask else cv2.BORDER_REFLECT,
    )


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
