"""Structures of a silver-stained section: glomeruli, arteries, nuclei."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from nephroscale_demo.glomerulus import Outline, Tuft, tuft
from nephroscale_demo.noise import cloud, ridge, smoothstep, wave

if TYPE_CHECKING:
    from nephroscale_demo.stain import Densities


@dataclass(frozen=True)
class Pattern:
    """The appearance of a glomerulus in silver stain.

    Attributes
    ----------
    mesangium
        0 normal to 1 clearly expanded.
    wall
        Width of the basement membrane's line, µm.
    spikes
        Length of spikes on the outer side, µm; 0 for none.
    chain
        Whether a second contour joins the spikes to a chain of holes.
    filled
        Share of the loops filled with cells.
    wire
        Share of the loops with wire-loop deposits.
    """

    mesangium: float = 0.0
    wall: float = 0.8
    spikes: float = 0.0
    chain: bool = False
    filled: float = 0.0
    wire: float = 0.0


PATTERNS = {
    "normal": Pattern(),
    "mesangial": Pattern(mesangium=1.0),
    "spikes": Pattern(mesangium=0.0, wall=1.45, spikes=3.8),
    "chains": Pattern(mesangium=0.05, wall=1.1, spikes=4.2, chain=True),
    "endocapillary": Pattern(mesangium=0.42, wall=0.9, filled=0.6, wire=0.6),
}


_Patch = tuple[tuple[slice, slice], np.ndarray, np.ndarray]


def stamp_nuclei(
    random: np.random.Generator,
    canvas: np.ndarray,
    points: np.ndarray,
    *,
    radius: tuple[float, float],
    slimness: tuple[float, float],
    mpp: float,
) -> None:
    """Render nuclei as ellipses.

    Parameters
    ----------
    random
        Generator of their sizes, directions and tones.
    canvas
        Picture, uint8, changed in place.
    points
        Centres [n, 2] y, x in µm.
    radius
        Least and largest half axis, µm.
    slimness
        Least and largest ratio of the short to the long axis.
    mpp
        µm per pixel.
    """
    count = len(points)
    long = random.uniform(*radius, count) / mpp * 16
    short = long * random.uniform(*slimness, count)
    turn = random.uniform(0, 180, count)
    tone = random.uniform(165, 255, count)
    centre = np.round(points[:, ::-1] / mpp * 16).astype(int)
    for (cx, cy), a, b, angle, value in zip(
        centre.tolist(),
        long.astype(int).tolist(),
        short.astype(int).tolist(),
        turn.tolist(),
        tone.tolist(),
        strict=True,
    ):
        cv2.ellipse(canvas, (cx, cy), (a, b), angle, 0, 360, value, -1, cv2.LINE_AA, 4)


def _patch(densities: Densities, centre: tuple[float, float], reach: float, mpp: float) -> _Patch:
    """Cut the part of a slide around a centre: its slices, and y, x of its pixels relative to the centre, µm."""
    height, width = densities.silver.shape
    top, left = (max(0, int((c - reach) / mpp)) for c in centre)
    bottom, right = min(height, int((centre[0] + reach) / mpp) + 2), min(width, int((centre[1] + reach) / mpp) + 2)
    y = (np.arange(top, bottom, dtype=np.float32) * np.float32(mpp) - np.float32(centre[0]))[:, None]
    x = (np.arange(left, right, dtype=np.float32) * np.float32(mpp) - np.float32(centre[1]))[None, :]
    shape = (bottom - top, right - left)
    return (slice(top, bottom), slice(left, right)), np.broadcast_to(y, shape).copy(), np.broadcast_to(x, shape).copy()


def _lay(densities: Densities, part: tuple[slice, slice], cover: np.ndarray, **layers: np.ndarray) -> None:
    """Cover a part of the slide with new layers."""
    for name, layer in layers.items():
        below = getattr(densities, name)[part]
        below += (layer - below) * cover


def _scatter(
    random: np.random.Generator, shape: tuple[int, ...], step: float, mpp: float
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Scatter points about `step` µm apart over a patch: their positions in the patch (µm) and their pixels."""
    height, width = shape[0] * mpp, shape[1] * mpp
    grid = np.stack(np.meshgrid(np.arange(0, height, step), np.arange(0, width, step), indexing="ij"), -1).reshape(
        -1, 2
    )
    points = grid + random.uniform(0, step, grid.shape)
    pixels = (points / mpp).astype(np.intp)
    return points, (pixels[:, 0].clip(0, shape[0] - 1), pixels[:, 1].clip(0, shape[1] - 1))


def render_glomerulus(
    random: np.random.Generator,
    densities: Densities,
    centre: tuple[float, float],
    outline: Outline,
    *,
    pattern: str,
    mpp: float,
) -> None:
    """Render one glomerulus into a slide.

    Parameters
    ----------
    random
        Generator of the slide.
    densities
        The slide, changed in place.
    centre
        y, x in µm from the densities' corner.
    outline
        Bowman's capsule.
    pattern
        Key of `PATTERNS`, or `sclerosed`.
    mpp
        µm per pixel.
    """
    part, y, x = _patch(densities, centre, outline.reach() + 6, mpp)
    if pattern == "sclerosed":
        _render_sclerosed(random, densities, outline, (part, y, x), mpp)
        return
    look = PATTERNS[pattern]
    shape = y.shape
    body = tuft(
        random,
        y,
        x,
        outline,
        mpp=mpp,
        mesangium=look.mesangium * float(random.normal(1, 0.1)),
        loop=23.0 + 1.9 * look.spikes,
        gap=2.6 + 0.75 * look.spikes,
    )
    inside = smoothstep(body.border, 0.6, -0.6)
    texture = cloud(random, shape, 5 / mpp, octaves=2)
    patches = cloud(random, shape, 14 / mpp, octaves=2)
    lumen = smoothstep(body.wall, -0.3, 0.6)
    silver = ridge(body.wall, 0.0, look.wall) * (1.0 + 0.15 * texture)
    # Cytoplasm is patchy: podocytes outside the loops, endothelium inside.
    counter = 0.10 + (0.42 - 0.22 * lumen) * smoothstep(patches, 0.0, 0.9) * (1 + 0.2 * texture)
    if look.spikes:
        silver = np.maximum(silver, _spikes(random, body, look, mpp))
    web = 0.55 + 0.25 * texture
    silver = np.maximum(silver, body.mesangium * web.clip(0.2, 0.95))
    counter = counter + body.mesangium * 0.35
    if look.wire or look.filled:
        chance = body.loops.sample(random, 0, 1)
        wire = (chance < look.wire) * smoothstep(body.wall, 0.2, 1.0) * smoothstep(body.wall, 5.0, 4.2)
        counter = counter + 1.5 * wire * (1 + 0.1 * texture)
        silver = silver + 0.2 * wire
        filled = (body.loops.sample(random, 0, 1) < look.filled) * lumen
        counter = counter + 0.45 * filled * (1 + 0.3 * texture)
    else:
        filled = np.zeros(shape, np.float32)
    silver, counter = silver * inside, counter * inside + 0.05 * (1 - inside)
    silver = np.maximum(silver, 1.05 * ridge(body.capsule, -1.0, 1.1))

    canvas = np.zeros(shape, np.uint8)
    points, at = _scatter(random, y.shape, 5.0, mpp)
    chance = random.uniform(0, 1, len(points))
    wall, border, capsule, matrix = (f[at] for f in (body.wall, body.border, body.capsule, body.mesangium))
    mesangial = (border < -3) & (matrix > 0.5) & (chance < 0.26 + 0.14 * look.mesangium)
    podocyte = (border < -1) & (wall < -1.2) & (matrix < 0.3) & (chance < 0.22)
    endothelial = (border < -4) & (wall > 1.5) & (wall < 4) & (chance < 0.14)
    proliferating = (border < -4) & (wall > 1.5) & (filled[at] > 0.5) & (chance < 0.5)
    parietal = (capsule > -3.4) & (capsule < -1.6) & (chance < 0.3)
    stamp_nuclei(random, canvas, points[mesangial | proliferating], radius=(2.0, 2.9), slimness=(0.65, 1.0), mpp=mpp)
    stamp_nuclei(random, canvas, points[podocyte], radius=(2.5, 3.5), slimness=(0.7, 1.0), mpp=mpp)
    stamp_nuclei(random, canvas, points[endothelial | parietal], radius=(2.0, 3.0), slimness=(0.4, 0.7), mpp=mpp)
    nuclear = canvas.astype(np.float32) * np.float32(0.9 / 255) * (1 + 0.15 * texture)
    cover = smoothstep(body.capsule, 1.2, 0.0)
    _lay(densities, part, cover, silver=silver * (1 - 0.75 * nuclear), counter=counter, nuclear=nuclear)


def _spikes(random: np.random.Generator, body: Tuft, look: Pattern, mpp: float) -> np.ndarray:
    """Spikes of basement membrane on the outer side of the loops, or a chain of holes between joined spikes."""
    count = int(body.loops.index.max()) + 1
    wall, length = body.wall, look.spikes
    teeth = random.integers(12, 18, count).astype(np.float32)[body.loops.index]
    phase = random.uniform(0, 6.3, count).astype(np.float32)[body.loops.index]
    bars = smoothstep(np.sin(teeth * body.loops.angle + phase), 0.05, 0.55)
    bars *= smoothstep(cloud(random, wall.shape, 9 / mpp, octaves=1), -1.6, -0.9)
    band = smoothstep(wall, 0.6, 0.0) * smoothstep(wall, -length - 0.4, -length + 0.4)
    silver: np.ndarray = bars * band
    if look.chain:
        silver = np.maximum(silver, ridge(wall, -length, 1.0))
    return silver


def _render_sclerosed(
    random: np.random.Generator, densities: Densities, outline: Outline, patch: _Patch, mpp: float
) -> None:
    """Render a globally sclerosed glomerulus: solid, with wrinkled membranes and few nuclei."""
    part, y, x = patch
    capsule = np.hypot(y, x) - outline.at(np.arctan2(y, x))
    folds = cloud(random, y.shape, 16 / mpp, octaves=4)
    wrinkles = np.exp(-((np.sin(5 * folds)) ** 2) * 3).astype(np.float32)
    silver = 0.30 + 0.5 * wrinkles
    silver = np.maximum(silver, ridge(capsule, -1.0, 1.4))
    counter = 0.55 + 0.1 * folds
    canvas = np.zeros(y.shape, np.uint8)
    points, at = _scatter(random, y.shape, 9.0, mpp)
    kept = (capsule[at] < -4) & (random.uniform(0, 1, len(points)) < 0.12)
    stamp_nuclei(random, canvas, points[kept], radius=(1.8, 2.6), slimness=(0.5, 0.9), mpp=mpp)
    nuclear = canvas.astype(np.float32) * np.float32(0.8 / 255)
    _lay(densities, part, smoothstep(capsule, 1.2, 0.0), silver=silver, counter=counter, nuclear=nuclear)


def render_vessel(
    random: np.random.Generator, densities: Densities, centre: tuple[float, float], radius: float, mpp: float
) -> None:
    """Render a small artery: lumen, elastic lamina, layered muscle, adventitia.

    Parameters
    ----------
    random
        Generator of the slide.
    densities
        The slide, changed in place.
    centre
        y, x in µm from the densities' corner.
    radius
        Outer radius, µm.
    mpp
        µm per pixel.
    """
    part, y, x = _patch(densities, centre, radius * 1.4 + 4, mpp)
    angle = np.arctan2(y, x)
    distance = np.hypot(y, x) * (1 + wave(random, angle, range(2, 5), 0.07))
    inner = np.float32(radius * random.uniform(0.4, 0.55))
    depth = distance - inner + 0.8 * np.sin(14 * angle + random.uniform(0, 6))
    muscle = smoothstep(depth, -0.8, 0.8) * smoothstep(distance, radius + 1, radius - 1)
    layers = 0.5 + 0.5 * np.sin(depth * np.float32(1.9) + cloud(random, y.shape, 14 / mpp))
    texture = cloud(random, y.shape, 6 / mpp, octaves=2)
    silver = ridge(depth, 0.0, 1.0) * 0.9 + muscle * 0.16 * layers + 0.45 * ridge(distance, radius, 2.2)
    counter = muscle * (0.72 + 0.12 * layers + 0.06 * texture) + 0.3 * smoothstep(distance, radius - 1, radius + 1)
    canvas = np.zeros(y.shape, np.uint8)
    points, at = _scatter(random, y.shape, 6.0, mpp)
    kept = (muscle[at] > 0.6) & (random.uniform(0, 1, len(points)) < 0.3)
    stamp_nuclei(random, canvas, points[kept], radius=(2.4, 3.6), slimness=(0.3, 0.5), mpp=mpp)
    nuclear = canvas.astype(np.float32) * np.float32(0.85 / 255)
    cover = smoothstep(distance, radius + 6, radius + 1)
    _lay(densities, part, cover, silver=silver.astype(np.float32), counter=counter.astype(np.float32), nuclear=nuclear)
