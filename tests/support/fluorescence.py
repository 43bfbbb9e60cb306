"""Drawn fluorescence pictures, and marks burned into pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def draw_glomerulus(side: int = 512, seed: int = 0, centre: tuple[int, int] = (220, 230)) -> np.ndarray:
    """Uint8 [side, side]: one glomerulus with a texture on a noisy dark background."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    blob = np.exp(-((((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (0.22 * side) ** 2) ** 2)) * 90
    texture = cv2.GaussianBlur(rng.normal(0, 1, (side, side)).astype(np.float32), (0, 0), 3) * 4
    return np.clip(blob * (0.6 + 0.4 * texture) + rng.normal(8, 3, (side, side)), 0, 255).astype(np.uint8)


def in_colour(grey: np.ndarray, hue: Sequence[float]) -> np.ndarray:
    """Uint8 [h, w, 3], the picture in a hue."""
    return np.clip(grey[..., None] * np.asarray(hue), 0, 255).astype(np.uint8)


def paint(picture: np.ndarray, tone: Sequence[int] | int, draw: Callable[[np.ndarray], object]) -> np.ndarray:
    """Lay a tone over a picture of any dtype, where `draw` draws 255 into an 8-bit mask."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    draw(mask)
    share = mask / 255 if picture.ndim == 2 else (mask / 255)[..., None]
    return np.rint(picture * (1 - share) + np.asarray(tone) * share).astype(picture.dtype)


def write_over(picture: np.ndarray, tone: Sequence[int] | int) -> np.ndarray:
    """Burn a bar with text into the lower right corner."""
    height, width = picture.shape[:2]

    def draw(mask: np.ndarray) -> None:
        cv2.rectangle(mask, (width - 150, height - 40), (width - 20, height - 32), 255, -1)
        cv2.putText(
            mask, "IgG 3+ 50 um", (width - 250, height - 55), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 255, 2, cv2.LINE_AA
        )

    return paint(picture, tone, draw)


def with_strip(picture: np.ndarray, tone: int, ink: int, rows: int = 40) -> np.ndarray:
    """Cover the lowest rows with a data strip that has text."""
    covered = picture.copy()
    covered[-rows:] = tone
    place = (20, picture.shape[0] - 12)
    tones = ink if picture.ndim == 2 else (ink,) * 3
    return paint(covered, tones, lambda mask: cv2.putText(mask, "IgG 3+", place, 0, 0.8, 255, 2, cv2.LINE_AA))
