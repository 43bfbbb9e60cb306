"""An immunofluorescence field: one glomerulus, bright on black, 16-bit grey."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from nephroscale_demo.glomerulus import Outline, Tuft, tuft
from nephroscale_demo.noise import Field, cells, cloud, ridge, smoothstep, stream

COUNTS_PER_MS = 420.0  # of a signal of full strength


@dataclass(frozen=True)
class FieldPlan:
    """What an immunofluorescence field shows.

    Attributes
    ----------
    image_id
        Name of the field's random stream.
    seed
        Seed of the cohort.
    size
        Side, pixels.
    mpp
        µm per pixel.
    mesangial, capillary
        Strength of the deposits' signal in the mesangium and along the capillary walls, 0 to 1.
    coarse
        0 for fine granules, 1 for coarse clumps.
    exposure_ms, gain
        Settings of the camera; counts are proportional to both.
    """

    image_id: str
    seed: int
    size: int
    mpp: float
    mesangial: float
    capillary: float
    coarse: float = 0.0
    exposure_ms: float = 100.0
    gain: float = 1.0


def generate_field(plan: FieldPlan) -> np.ndarray:
    """Generate a field.

    Parameters
    ----------
    plan
        What the field shows.

    Returns
    -------
    uint16 [size, size], counts.
    """
    random = stream(plan.seed, plan.image_id)
    shape = (plan.size, plan.size)
    half = plan.size * plan.mpp / 2
    axis = np.arange(plan.size, dtype=np.float32) * np.float32(plan.mpp)
    y = np.repeat((axis - np.float32(half + random.normal(0, 4)))[:, None], plan.size, axis=1)
    x = np.repeat((axis - np.float32(half + random.normal(0, 4)))[None, :], plan.size, axis=0)
    outline = Outline.sample(random, float(np.clip(random.normal(96, 7), 82, 108)))
    expansion = float(random.uniform(0.6, 0.75))
    body = tuft(random, y, x, outline, mpp=plan.mpp, mesangium=expansion, space=7.0)

    signal = _deposits(random, body, plan) * smoothstep(body.border, 0.5, -1.5)
    glow = _background(random, body, y, x, plan)
    sharp = cv2.GaussianBlur(signal, (0, 0), 0.55 / plan.mpp)
    deep = cv2.GaussianBlur(signal, (0, 0), 5.0 / plan.mpp)  # light from above and below the plane of focus
    light = 0.74 * sharp + 0.38 * deep + glow
    y_slope, x_slope = random.normal(0, 0.08, 2)
    light *= (1 + y_slope * y / half + x_slope * x / half).astype(np.float32)
    counts = light * np.float32(COUNTS_PER_MS * plan.exposure_ms * plan.gain)
    shot = np.sqrt(np.maximum(counts, 1) * 9) * random.standard_normal(shape, np.float32)
    dark = 310 + 22 * random.standard_normal(shape, np.float32)
    field: np.ndarray = (counts + shot + dark).clip(0, 65535).astype(np.uint16)
    return field


def _deposits(random: np.random.Generator, body: Tuft, plan: FieldPlan) -> Field:
    """Immune deposits: granules along the walls, clumps in the mesangium."""
    shape, mpp = body.wall.shape, plan.mpp
    fine = smoothstep(cloud(random, shape, 3.4 / mpp, octaves=1), -0.2, 1.0)
    clumps = smoothstep(cloud(random, shape, 8.5 / mpp, octaves=2), 0.0, 1.1)
    patchy = 0.85 + 0.25 * cloud(random, shape, 60 / mpp, octaves=1).clip(-1.5, 1.5)
    width = 1.2 + 1.5 * plan.coarse
    capillary = ridge(body.wall, 0.3, width) * (
        (1 - plan.coarse) * (0.25 + fine) + plan.coarse * (0.05 + 1.15 * clumps)
    )
    speckle = smoothstep(cloud(random, shape, 5.0 / mpp, octaves=2), -0.7, 0.9)
    mesangial = body.mesangium * ((1 - plan.coarse) * (0.2 + 0.8 * speckle) + plan.coarse * (0.2 + 0.9 * clumps))
    return (patchy * (plan.capillary * capillary + plan.mesangial * mesangial)).astype(np.float32)


def _background(random: np.random.Generator, body: Tuft, y: Field, x: Field, plan: FieldPlan) -> Field:
    """Autofluorescence: tubules around the glomerulus, the tuft itself, droplets."""
    shape = y.shape
    bend = 9 * cloud(random, shape, 70 / plan.mpp, octaves=2)
    tubules = cells(random, y + bend, x - bend, 56.0)
    outside = smoothstep(body.capsule, -0.5, 1.5)
    epithelium = (
        smoothstep(tubules.edge, 1.2, 3.5) * smoothstep(tubules.edge, 20, 12) * tubules.sample(random, 0.5, 1.1)
    )
    glow = outside * (0.022 * epithelium * (1 + 0.25 * cloud(random, shape, 3 / plan.mpp, octaves=2)))
    glow += 0.012 * smoothstep(body.border, 1.0, -2.0) * (1 + 0.3 * cloud(random, shape, 8 / plan.mpp))
    glow += 0.016 * ridge(body.capsule, 0.0, 1.2)
    droplets = smoothstep(cloud(random, shape, 6 / plan.mpp, octaves=1), 2.4, 3.0) * outside * epithelium
    total: Field = (glow + 0.12 * droplets + 0.004).astype(np.float32)
    return total
