"""Synthetic fluorescence pictures, and marks burned into pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

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


class DrawnField(NamedTuple):
    """A field of several glomeruli, uint16 [side, side, 1], and their outlines, x and y [n, 2] in pixels."""

    pixels: np.ndarray
    outlines: list[np.ndarray]


def draw_field(seed: int, *, side: int = 400, gain: float = 1.0) -> DrawnField:
    """A field at 2 µm per pixel: tufts with bright walls of capillaries, tubules that glow faintly, casts, droplets."""
    rng = np.random.default_rng(seed)

    def cloud(grain: float) -> np.ndarray:
        rough = cv2.GaussianBlur(rng.standard_normal((side, side)).astype(np.float32), (0, 0), grain)
        return np.asarray(rough / rough.std())

    light = np.full((side, side), 0.03, np.float32)
    for _ in range(side * side // 600):
        place, axes = rng.uniform(0, side, 2), rng.uniform(7, 13, 2)
        tone = float(rng.uniform(0.05, 0.13))
        cv2.ellipse(light, (place.tolist(), (2 * axes).tolist(), float(rng.uniform(0, 180))), tone, -1)
        cv2.ellipse(light, (place.tolist(), (0.8 * axes).tolist(), 0.0), 0.03, -1)
    centres: list[np.ndarray] = []
    outlines: list[np.ndarray] = []
    for _ in range(200):
        centre, radius = rng.uniform(70, side - 70, 2), float(rng.uniform(32, 52))
        if len(centres) == 3 or any(np.hypot(*(centre - one)) < 125 for one in centres):
            continue
        angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
        waves = sum(rng.normal(0, 0.1 / k) * np.cos(k * angle + rng.uniform(0, 6)) for k in (2, 3, 4))
        points = centre + (radius * (1 + waves))[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
        centres.append(centre)
        outlines.append(points)
        inside = np.zeros((side, side), np.float32)
        cv2.fillPoly(inside, [np.rint(points * 16).astype(np.int32)], 1.0, cv2.LINE_8, 4)
        walls = np.exp(-((cloud(3.5) / 0.35) ** 2))  # thin lines around loops
        patches = 1 / (1 + np.exp(-2 * cloud(14)))  # deposits are segmental
        strength = float(rng.uniform(0.25, 1.0))
        light += inside * strength * (0.06 + walls * (0.25 + 0.75 * patches))
    for _ in range(3):  # casts in tubules: bright, but long or small
        place, length = rng.uniform(0, side, 2), float(rng.uniform(40, 70))
        cast = (place.tolist(), (length, 13.0), float(rng.uniform(0, 180)))
        if all(np.hypot(*(place - one)) > 90 for one in centres):
            cv2.ellipse(light, cast, float(rng.uniform(0.3, 0.6)), -1)
    light += 0.8 * (cloud(1.2) > 3.4)
    counts = cv2.GaussianBlur(light, (0, 0), 0.8) * 8000
    noisy = (
        counts
        + np.sqrt(np.maximum(counts, 1) * 6) * rng.standard_normal((side, side))
        + rng.normal(0, 25, counts.shape)
    )
    return DrawnField(np.clip(noisy * gain, 0, 65535).astype(np.uint16)[..., None], outlines)
