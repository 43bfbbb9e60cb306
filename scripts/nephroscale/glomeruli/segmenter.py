"""Training of the segmenter: a U-Net that learns from annotated slides."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NotRequired, TypedDict, cast

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nephroscale.errors import Rejected
from nephroscale.glomeruli.held_out import search_held_out
from nephroscale.glomeruli.labelled_slide import AnnotatedSlide, LabelledSlide, load_all
from nephroscale.glomeruli.metrics import dice
from nephroscale.glomeruli.network import SegmenterWeights, UNet, save_weights
from nephroscale.glomeruli.outlines import LeftOut
from nephroscale.glomeruli.patches import sample_batch
from nephroscale.glomeruli.score_calibration import MIN_OUTLINES, fit_calibration
from nephroscale.glomeruli.settings import SegmenterSettings
from nephroscale.glomeruli.unet import predict
from nephroscale.slides.tile_status import TileStatus

WEIGHT_DECAY = 1e-4
EPSILON = 1e-5  # of AdamW; with less, rounding decides about the direction of the first steps
WARM_UP = 0.1  # fraction of the steps in which the learning rate rises
AVERAGED = 0.1  # fraction of the steps that the mean of the weights reaches back
MAX_GRADIENT = 1.0  # norm of all gradients together
MIN_SLIDES_FOR_VALIDATION = 4  # with fewer slides, all are used for training
MIN_OUTLINES_FOR_SIZE = 5  # from fewer outlines the smallest glomerulus is not estimated
EVERY = 10  # steps that one value of the curve is the mean of


class SegmenterFigures(TypedDict):
    """Figures of a training.

    The validation ones are None if no slide was held out; of several slides they are the names and the mean.
    `outlines_left_out` has slides and objects of annotations. `doubtful_images` has what a person should check of an
    annotation, by image id. `scores` is `calibrated` or `uncalibrated`. `sclerosed` counts the slides with outlines of
    that class, if any.
    """

    slides: int
    glomeruli: int
    outlines_left_out: list[LeftOut]
    doubtful_images: NotRequired[dict[str, str]]
    parameters: int
    loss: float
    training_dice: float
    validation_slide: str | None
    validation_dice: float | None
    scores: str
    sclerosed: NotRequired[int]


def train_segmenter(
    slides: Sequence[AnnotatedSlide], settings: SegmenterSettings, seed: int, out: Path
) -> SegmenterFigures:
    """Train the U-Net on annotated slides; the weights are a moving average over the last steps.

    Half of the patches are around glomeruli, half anywhere in tissue. If there are at least four slides, some are held
    out for validation (:func:`hold_out`); scores are calibrated if they have enough outlines
    (:mod:`.score_calibration`). If outlines have the class of a sclerosed glomerulus, the network learns to tell these
    from others.

    Parameters
    ----------
    slides
        All OM, or all IM.
    settings
        Scale and U-Net.
    seed
        Seed of weights, patches and augmentation.
    out
        Folder to create: `weights.safetensors`, `curve.json`.

    Raises
    ------
    Rejected
        When there is no slide, or none can be used.

    References
    ----------
    Average: Polyak & Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J Control Optim 30 (1992).
    Loss: Milletari et al., "V-Net", 3DV 2016 (Dice), plus cross-entropy. Optimiser: Loshchilov & Hutter, "Decoupled
    weight decay regularization", ICLR 2019.
    """
    steps = settings.unet.steps
    if not slides:
        raise Rejected("none of the annotated slides could be tiled")
    loaded, left_out = load_all(slides, settings)
    doubts = {slide.name: slide.doubt for slide in loaded if slide.doubt}
    held_out = hold_out(loaded, {slide.id: slide.patient for slide in slides})
    out_of_training = {slide.name for slide in held_out}
    loaded = [slide for slide in loaded if slide.name not in out_of_training]
    sclerosed = sum(slide.sclerosed is not None for slide in loaded)
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet(settings.unet.width, 2 if sclerosed else 1, loaded[0].pixels.shape[2])
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    rate = settings.unet.learning_rate
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, eps=EPSILON, weight_decay=WEIGHT_DECAY, fused=True)
    warm = max(1, round(WARM_UP * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min((step + 1) / warm, 0.5 * (1 + np.cos(np.pi * max(0, step - warm) / max(1, steps - warm)))),
    )
    averaging = get_ema_multi_avg_fn(1 - 1 / max(1.0, AVERAGED * steps))  # type: ignore[no-untyped-call]
    averaged = AveragedModel(network, multi_avg_fn=averaging, use_buffers=True)
    losses = []
    for _ in range(steps):
        batch = sample_batch(loaded, settings.unet.batch_size, settings.unet.patch_px, rng)
        optimiser.zero_grad(set_to_none=True)
        logits = network(batch.pixels)
        loss = segmentation_loss(logits[:, 0], batch.truth, batch.weight)
        if batch.sclerosed is not None:
            loss = loss + sclerosis_loss(logits[:, 1], batch.sclerosed, batch.truth * batch.weight)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT)
        optimiser.step()
        schedule.step()
        averaged.update_parameters(network)
        losses.append(float(loss.detach()))
    network = cast("UNet", averaged.module.eval())
    figures: SegmenterFigures = {
        "slides": len(loaded),
        "glomeruli": sum(len(slide.centres) for slide in loaded),
        "outlines_left_out": left_out,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "loss": round(float(np.mean(losses[-EVERY:])), 5),
        "training_dice": round(float(np.mean([_dice_on(network, slide) for slide in loaded])), 4),
        "validation_slide": ", ".join(slide.name for slide in held_out) or None,
        "validation_dice": round(float(np.mean([_dice_on(network, slide) for slide in held_out])), 4)
        if held_out
        else None,
        "scores": "uncalibrated",
    }
    if sclerosed:
        figures["sclerosed"] = sclerosed
    if doubts:
        figures["doubtful_images"] = doubts
    curve = [round(float(np.mean(losses[start : start + EVERY])), 5) for start in range(0, steps, EVERY)]
    out.mkdir(parents=True)
    diameters = np.concatenate([slide.diameters_um for slide in loaded])
    smallest = round(float(diameters.min()), 1) if len(diameters) >= MIN_OUTLINES_FOR_SIZE else 0.0
    colours = np.stack([slide.colours for slide in loaded])
    markers = tuple(sorted({slide.marker for slide in loaded if slide.marker}))
    weights = SegmenterWeights(network, settings.mpp, colours, smallest, markers=markers)
    save_weights(weights, out / "weights.safetensors")
    if sum(len(slide.centres) for slide in held_out) >= MIN_OUTLINES:
        by_id = {slide.id: slide for slide in slides}
        searched = [search_held_out(out, by_id[slide.name], slide, settings) for slide in held_out]
        scores, hits = ([one for each in searched for one in getattr(each, name)] for name in ("scores", "hits"))
        calibration = fit_calibration(scores, hits, sum(each.outlines for each in searched))
        save_weights(weights._replace(calibration=calibration), out / "weights.safetensors")
        figures["scores"] = "calibrated" if calibration else "uncalibrated"
    content = {**figures, "loss": curve, "steps_per_value": EVERY}
    (out / "curve.json").write_text(json.dumps(content, sort_keys=True, indent=1) + "\n")
    return figures


def hold_out(slides: Sequence[LabelledSlide], patients: Mapping[str, str]) -> list[LabelledSlide]:
    """Choose the slides that are held out; none of fewer than four.

    In OM it is the last one. An IM field has few glomeruli, so patients are held out, from the last one on, until there
    are enough outlines to calibrate scores; if a quarter of the fields has too few, it is the last patient alone.

    Parameters
    ----------
    slides
        By id.
    patients
        Image id to patient id.
    """
    most = len(slides) // MIN_SLIDES_FOR_VALIDATION
    if slides[0].marker is None:
        return [slides[-1]] if most else []
    by_patient = sorted(slides, key=lambda slide: (patients[slide.name], slide.name), reverse=True)
    groups = [list(group) for _, group in groupby(by_patient, key=lambda slide: patients[slide.name])]
    found: list[LabelledSlide] = []
    for group in groups:
        found += group
        if len(found) <= most and sum(len(slide.centres) for slide in found) >= MIN_OUTLINES:
            return found
    return groups[0] if len(groups[0]) <= most else []


def _dice_on(network: UNet, slide: LabelledSlide) -> float:
    multiple = UNet.MULTIPLE
    h, w = slide.truth.shape
    pads = ((0, -h % multiple), (0, -w % multiple), (0, 0))
    found = predict(network, np.pad(slide.pixels, pads, mode="symmetric"))[0, :h, :w] >= 0.5
    return dice(found & slide.known & (slide.status == TileStatus.TISSUE), slide.truth & slide.known)


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


def sclerosis_loss(logits: Tensor, sclerosed: Tensor, weight: Tensor) -> Tensor:
    """Compute the mean cross-entropy of sclerosed against other glomeruli, within glomeruli.

    Parameters
    ----------
    logits, sclerosed, weight
        float32 [n, h, w]; the weight is 0 outside of glomeruli.
    """
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, sclerosed, weight=weight, reduction="sum")
    return entropy / weight.sum().clamp(min=1)
