"""Detector with the trained U-Net: the probability of glomerulus over a slide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nephroscale.errors import NephroscaleError
from nephroscale.glomeruli.instances import ProbabilityMaps
from nephroscale.glomeruli.network import UNet, load_weights
from nephroscale.glomeruli.segmenter_pixels import pixel_conversion
from nephroscale.glomeruli.settings import DetectionSettings
from nephroscale.glomeruli.tile_view import TileView, Window
from nephroscale.slides.tile_status import TileStatus

WINDOW_PX = 1024  # side of the windows in which a slide is segmented


def detect(view: TileView, weights: Path | None, settings: DetectionSettings) -> ProbabilityMaps:  # noqa: ARG001
    """Compute the probability of glomerulus over a slide, window by window.

    In each window, only the rectangle around the tissue is computed.

    Parameters
    ----------
    view
        A slide of the segmenter's modality, at the scale of segmentation.
    weights
        Folder by :func:`nephroscale.glomeruli.segmenter.train_segmenter`.
    settings
        Not used: the weights decide.

    Raises
    ------
    NephroscaleError
        When there are no weights, or they were trained at another scale.
    """
    if weights is None:
        raise NephroscaleError(
            "The U-Net has no weights.",
            where="glomeruli.method: unet",
            fix="Give patients with annotated slides `use: segmentation`.",
        )
    network, mpp, *_ = load_weights(weights)
    if abs(mpp / (view.mpp or 1.0) - 1) > 0.01:
        raise NephroscaleError(
            f"The segmenter was trained at {mpp} µm per pixel, not {view.mpp}.",
            where="glomeruli.mpp",
            fix="Train the segmenter again.",
        )
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    convert = pixel_conversion(view)
    maps = [np.zeros(view.shape, np.uint8) for _ in range(network.head.out_channels)]
    for window in view.windows(WINDOW_PX):
        place = _around_tissue(view, window)
        if place is None:
            continue
        rows, columns = slice(place.y, place.y + place.h), slice(place.x, place.x + place.w)
        h, w = (-(-side // UNet.MULTIPLE) * UNet.MULTIPLE + 2 * UNet.REACH for side in (place.h, place.w))
        pixels = _read_mirrored(view, Window(place.y - UNet.REACH, place.x - UNet.REACH, h, w))
        seen = predict(network, convert(pixels))
        inside = seen[:, UNet.REACH : UNet.REACH + place.h, UNet.REACH : UNet.REACH + place.w]
        tissue = view.status[rows, columns] == TileStatus.TISSUE
        for result, probability in zip(maps, inside, strict=True):
            result[rows, columns] = np.where(tissue, np.rint(probability * 255), 0)
    return ProbabilityMaps(*maps)


def _around_tissue(view: TileView, window: Window) -> Window | None:
    """Shrink a window to the rectangle around its tissue, aligned to the network's stride; None without tissue."""
    tissue = view.status[window.y : window.y + window.h, window.x : window.x + window.w] == TileStatus.TISSUE
    rows, columns = np.flatnonzero(tissue.any(axis=1)), np.flatnonzero(tissue.any(axis=0))
    if not len(rows):
        return None
    y, x = (int(places[0]) // UNet.MULTIPLE * UNet.MULTIPLE for places in (rows, columns))
    return Window(window.y + y, window.x + x, int(rows[-1]) + 1 - y, int(columns[-1]) + 1 - x)


def _read_mirrored(view: TileView, window: Window) -> np.ndarray:
    """Read a window; beyond the slide it has the mirror image, because tissue may be cut by the border of a field."""
    y, x = max(window.y, 0), max(window.x, 0)
    bottom, right = min(window.y + window.h, view.shape[0]), min(window.x + window.w, view.shape[1])
    beyond = (y - window.y, window.y + window.h - bottom), (x - window.x, window.x + window.w - right), (0, 0)
    return np.pad(view.read(Window(y, x, bottom - y, right - x)), beyond, mode="symmetric")


@torch.inference_mode()
def predict(network: UNet, pixels: np.ndarray) -> np.ndarray:
    """Compute the probabilities of the network's outputs, float32 [outputs, h, w], of pixels uint8 [h, w, c]."""
    return np.asarray(torch.sigmoid(network(to_tensor(pixels[None])))[0].numpy())


def to_tensor(pixels: np.ndarray) -> Tensor:
    """Convert pixels uint8 [n, h, w, c] to float32 [n, c, h, w] from 0 to 1, channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255
