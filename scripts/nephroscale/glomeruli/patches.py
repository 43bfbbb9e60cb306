"""Patches of annotated slides that the segmenter is trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import torch
from skimage.color import hed_from_rgb, rgb_from_hed
from torch import Tensor

from nephroscale.glomeruli.tile_view import GLASS
from nephroscale.slides.tile_status import TileStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nephroscale.glomeruli.labelled_slide import LabelledSlide

LARGEST_SCALE = 1.15  # patches are magnified by up to this, or made smaller
# Standard deviation of the logarithm by which the concentration of a stain, or the intensity of a dye, changes.
STAIN_GAIN, DYE_GAIN = 0.2, 0.3
LOG_LEVELS = np.log(np.maximum(np.arange(256), 1) / GLASS).astype(np.float32)


class PatchBatch(NamedTuple):
    """Patches of one training step.

    Attributes
    ----------
    pixels
        float32 [n, channels, side, side], 0 to 1.
    truth
        float32 [n, side, side], 1 in glomeruli.
    weight
        float32 [n, side, side], 0 where the slide is unreadable or nothing is known of it, else 1.
    sclerosed
        float32 [n, side, side], 1 in sclerosed glomeruli; None where no slide has one.
    """

    pixels: Tensor
    truth: Tensor
    weight: Tensor
    sclerosed: Tensor | None = None


def sample_batch(slides: Sequence[LabelledSlide], count: int, side: int, rng: np.random.Generator) -> PatchBatch:
    """Sample patches, alternately around a glomerulus and anywhere in tissue; turn, scale, flip and restain them.

    Parameters
    ----------
    slides
        Slides of one modality to sample from.
    count
        Number of patches.
    side
        Side of a patch, pixels.
    rng
        Random number generator.
    """
    pixels = np.empty((count, side, side, slides[0].pixels.shape[2]), np.uint8)
    truth, weight, sclerosed = np.zeros((3, count, side, side), np.float32)
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
            (slide.sclerosed, sclerosed),
        ):
            if source is not None:
                target[index] = _cut(source, place, side)
    tinted = torch.from_numpy(np.stack([change_stains(patch, rng) for patch in pixels])).permute(0, 3, 1, 2)
    known = any(slide.sclerosed is not None for slide in slides)
    return PatchBatch(
        tinted, torch.from_numpy(truth), torch.from_numpy(weight), torch.from_numpy(sclerosed) if known else None
    )


def change_stains(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change the concentrations of haematoxylin, eosin and DAB, or the intensity of a dye; glass stays as it is.

    Parameters
    ----------
    pixels
        uint8 [h, w, 3] of OM, [h, w, 1] of IM.
    rng
        Random number generator.

    Returns
    -------
    numpy.ndarray
        float32, of the same shape, 0 to 1.

    References
    ----------
    Stains: Ruifrok & Johnston, Anal Quant Cytol Histol 23 (2001). Augmentation: Tellez et al., IEEE Trans Med Imaging
    37 (2018).
    """
    log = LOG_LEVELS[pixels]  # minus the density
    if pixels.shape[2] == 1:
        density = log * np.float32(np.exp(rng.normal(0, DYE_GAIN)))
    else:
        gains = np.exp(rng.normal(0, STAIN_GAIN, 3))
        change = (hed_from_rgb * gains) @ rgb_from_hed
        density = cv2.transform(log, change.T)
    return np.asarray(np.minimum(np.exp(density) * np.float32(GLASS / 255), 1))


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
    patch = cv2.warpAffine(
        part.view(np.uint8) if is_mask else part,
        np.column_stack([place[:, :2], place[:, 2] - low]),
        (side, side),
        flags=cv2.WARP_INVERSE_MAP | (cv2.INTER_NEAREST if is_mask else cv2.INTER_LINEAR),
        borderMode=cv2.BORDER_CONSTANT if is_mask else cv2.BORDER_REFLECT,
    )
    return patch.reshape(side, side, *source.shape[2:])  # OpenCV drops the axis of a single channel
