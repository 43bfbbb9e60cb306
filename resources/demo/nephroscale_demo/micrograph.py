"""The microscope and its camera: focus, noise, contrast, and burned-in marks."""

from __future__ import annotations

import cv2
import numpy as np

from nephroscale_demo.noise import Field, cloud, grain

FONT = cv2.FONT_HERSHEY_SIMPLEX


def develop(random: np.random.Generator, grey: Field, nm_per_px: float) -> np.ndarray:
    """Turn ideal grey values into an exposed picture.

    Parameters
    ----------
    random
        Generator of the image.
    grey
        Grey values without blur and noise, 0 to 255.
    nm_per_px
        nm per pixel.
    """
    shape = grey.shape
    soft: np.ndarray = cv2.GaussianBlur(grey, (0, 0), max(0.55, 4.5 / nm_per_px))
    soft += 3 * cloud(random, shape, max(shape) / 2, octaves=1)
    soft += 4.5 * cv2.GaussianBlur(grain(random, shape), (0, 0), 0.8) * 2.2 * 0.8
    soft += 4 * grain(random, shape)
    contrast, level = random.uniform(0.86, 1.08), random.normal(0, 7)
    return ((soft - 128) * np.float32(contrast) + np.float32(128 + level)).clip(2, 253).astype(np.uint8)


def burn_in(picture: np.ndarray, nm_per_px: float, magnification: int, label: str, style: str) -> np.ndarray:
    """Burn a scale bar and labels into a picture.

    Parameters
    ----------
    picture
        Grey picture.
    nm_per_px
        nm per pixel.
    magnification
        Printed on the picture.
    label
        Printed on the picture.
    style
        `strip` adds a black data strip below; `overlay` writes on the picture itself.

    Returns
    -------
    The picture; with `strip`, its height includes the strip.
    """
    height, width = picture.shape
    micrometres = 1.0 if width * nm_per_px > 3200 else 0.5
    bar = round(micrometres * 1000 / nm_per_px)
    size = width / 1250
    text = f"{'1' if micrometres == 1 else '0.5'} um"
    if style == "strip":
        tall = round(width * 0.055)
        strip = np.zeros((tall, width), np.uint8)
        base = round(tall * 0.64)
        cv2.putText(strip, label, (8, base), FONT, size, 255, 1, cv2.LINE_AA)
        cv2.putText(strip, f"x{magnification}  80 kV", (round(width * 0.36), base), FONT, size, 255, 1, cv2.LINE_AA)
        left = width - bar - 10
        cv2.rectangle(strip, (left, round(tall * 0.7)), (left + bar, round(tall * 0.86)), 255, -1)
        cv2.putText(strip, text, (left, round(tall * 0.52)), FONT, size * 0.9, 255, 1, cv2.LINE_AA)
        return np.vstack([picture, strip])
    out = picture.copy()
    base = height - 10
    cv2.rectangle(out, (10, base - 4), (10 + bar, base), 0, -1)
    cv2.putText(out, text, (12, base - 10), FONT, size * 1.15, 0, 2, cv2.LINE_AA)
    for words, share in ((label, 0.40), (f"Total magnification: {magnification / 1000:.2f}kx", 0.62)):
        (wide, high), _ = cv2.getTextSize(words, FONT, size * 0.85, 1)
        left = round(width * share)
        cv2.rectangle(out, (left, base - high - 6), (min(left + wide + 8, width - 1), base + 2), 255, -1)
        cv2.putText(out, words, (left + 4, base - 2), FONT, size * 0.85, 0, 1, cv2.LINE_AA)
    return out
