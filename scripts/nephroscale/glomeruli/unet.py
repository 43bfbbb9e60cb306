"""Detector with the trained U-Net: the probability of glomerulus over a slide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from nephroscale.errors import NephroscaleError
from nephroscale.glomeruli.network import UNet, load_weights
from nephroscale.glomeruli.tile_view import TileView, Window
from nephroscale.slides.tile_status import TileStatus

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from nephroscale.glomeruli.settings import DetectionSettings

WINDOW_PX = 768  # side of the windows in which a slide is segmented
CANDIDATE = 0.2  # a window in which no pixel is more probable is not looked at again
#: Eighths of the scale, and quarter turns, of the further looks at windows with candidates; within what is trained.
LOOKS = ((7, 1), (9, 2))
#: Windows start and end at multiples of this, so that pixels of all looks are at the same places in every window.
GRID = 8 * UNet.MULTIPLE


def detect(view: TileView, weights: Path | None, settings: DetectionSettings) -> np.ndarray:  # noqa: ARG001
    """Compute the probability of glomerulus over a slide, window by window.

    Where the network sees a candidate, it looks again at two more scales, and the mean of the three is taken.

    Parameters
    ----------
    view
        An OM slide at the scale of segmentation.
    weights
        Folder by :func:`nephroscale.glomeruli.segmenter.train_segmenter`.
    settings
        Not used: the weights decide.

    Returns
    -------
    numpy.ndarray
        uint8 [h, w]: probability times 255, 0 outside tissue.

    Raises
    ------
    NephroscaleError
        When there are no weights, or they were trained at another scale.

    References
    ----------
    A coarse search first and several scales for candidates: Pedersen et al., "H2G-Net", arXiv 2112.03455 (2021).
    """
    if weights is None:
        raise NephroscaleError(
            "The U-Net has no weights.",
            where="glomeruli.method: unet",
            fix="Give patients with annotated OM slides `use: segmentation`.",
        )
    network, mpp, *_ = load_weights(weights)
    if abs(mpp / (view.mpp or 1.0) - 1) > 0.01:
        raise NephroscaleError(
            f"The segmenter was trained at {mpp} µm per pixel, not {view.mpp}.",
            where="glomeruli.mpp",
            fix="Train the segmenter again.",
        )
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    result = np.zeros(view.shape, np.uint8)
    margin = GRID  # the reach of the network at the finest scale is less
    for window in view.windows(WINDOW_PX):
        rows, columns = slice(window.y, window.y + window.h), slice(window.x, window.x + window.w)
        tissue = view.status[rows, columns] == TileStatus.TISSUE
        if not tissue.any():
            continue
        h = -(-window.h // GRID) * GRID + 2 * margin
        w = -(-window.w // GRID) * GRID + 2 * margin
        pixels = _read_mirrored(view, Window(window.y - margin, window.x - margin, h, w))
        inside = slice(margin, margin + window.h), slice(margin, margin + window.w)
        seen = predict(network, pixels)
        if seen[inside][tissue].max() >= CANDIDATE:
            seen = (seen + sum(_look(network, pixels, eighths, turns) for eighths, turns in LOOKS)) / (1 + len(LOOKS))
        result[rows, columns] = np.where(tissue, np.rint(seen[inside] * 255), 0)
    return result


def _read_mirrored(view: TileView, window: Window) -> np.ndarray:
    """Read a window; beyond the slide it has the mirror image, because tissue may be cut by the border of a field."""
    y, x = max(window.y, 0), max(window.x, 0)
    bottom, right = min(window.y + window.h, view.shape[0]), min(window.x + window.w, view.shape[1])
    pixels = view.read(Window(y, x, bottom - y, right - x))
    beyond = (y - window.y, window.y + window.h - bottom), (x - window.x, window.x + window.w - right), (0, 0)
    return np.pad(pixels, beyond, mode="symmetric")


@torch.inference_mode()
def _look(network: UNet, pixels: np.ndarray, eighths: int, turns: int) -> np.ndarray:
    """Compute the probability of glomerulus at another scale and turned, float32 [h, w] as the pixels are."""
    h, w = pixels.shape[:2]
    how = cv2.INTER_AREA if eighths < 8 else cv2.INTER_LINEAR
    scaled = cv2.resize(pixels, (w * eighths // 8, h * eighths // 8), interpolation=how)
    found = np.ascontiguousarray(np.rot90(predict(network, np.rot90(scaled, turns)), -turns))
    there = torch.from_numpy(found)[None, None]
    back = torch.nn.functional.interpolate(there, (h, w), mode="bilinear", align_corners=False)
    seen: np.ndarray = back[0, 0].numpy()
    return seen


@torch.inference_mode()
def predict(network: UNet, pixels: np.ndarray) -> np.ndarray:
    """Compute the probability of glomerulus, float32 [h, w], of pixels uint8 [h, w, 3]."""
    probability: np.ndarray = torch.sigmoid(network(to_tensor(pixels[None])))[0].numpy()
    return probability


def to_tensor(pixels: np.ndarray) -> Tensor:
    """Convert pixels uint8 [n, h, w, 3] to float32 [n, 3, h, w] from 0 to 1, channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255
