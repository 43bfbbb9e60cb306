"""The geometry of a glomerulus, shared by its silver-stained section and its immunofluorescence."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from nephroscale_demo.noise import Cells, Field, as_distance, cells, cloud, smoothstep, wave


@dataclass(frozen=True)
class Outline:
    """Bowman's capsule as a closed curve about its centre, µm.

    Attributes
    ----------
    radius
        Mean radius.
    bumps
        Amplitude and phase of each harmonic from the second on, shares of the radius.
    """

    radius: float
    bumps: tuple[tuple[float, float], ...]

    @classmethod
    def sample(cls, random: np.random.Generator, radius: float, roughness: float = 0.03) -> Outline:
        """Sample an outline with a given mean radius."""
        bumps = tuple(
            (float(random.normal(0, roughness * 2 / order)), float(random.uniform(0, 2 * np.pi)))
            for order in range(2, 7)
        )
        return cls(radius, bumps)

    def at(self, angle: np.ndarray) -> Field:
        """Radius at each angle, µm."""
        total = np.ones_like(angle)
        for order, (size, phase) in enumerate(self.bumps, start=2):
            total = total + size * np.cos(order * angle + phase)
        return (self.radius * total).astype(np.float32)

    def reach(self) -> float:
        """Return the largest radius, µm."""
        return float(self.at(np.linspace(0, 2 * np.pi, 180)).max())

    def polygon(self, count: int = 96) -> np.ndarray:
        """Points of the curve about its centre, [count, 2] x, y in µm."""
        angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
        radius = self.at(angle).astype(np.float64)
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


@dataclass(frozen=True)
class Tuft:
    """The structures of a glomerulus, as fields over its pixels.

    Attributes
    ----------
    capsule
        Signed distance to Bowman's capsule, µm, negative inside.
    border
        Signed distance to the tuft's edge, µm, negative inside.
    loops
        Capillary loops: one cell each.
    wall
        Signed distance to the capillary wall, µm, positive towards the lumen.
    mesangium
        Share of mesangium, 0 to 1.
    """

    capsule: Field
    border: Field
    loops: Cells
    wall: Field
    mesangium: Field


def tuft(
    random: np.random.Generator,
    y: Field,
    x: Field,
    outline: Outline,
    *,
    mpp: float,
    mesangium: float,
    space: float = 9.0,
    loop: float = 23.0,
    gap: float = 2.6,
) -> Tuft:
    """Lay out the capillary loops and the mesangium of a glomerulus.

    Parameters
    ----------
    random
        Generator of the glomerulus.
    y, x
        Position of each pixel relative to the glomerulus' centre, µm.
    outline
        Bowman's capsule.
    mpp
        µm per pixel.
    mesangium
        Amount of mesangium: 0 normal, 1 clearly expanded.
    space
        Mean width of the urinary space, µm.
    loop
        Mean distance of neighbouring loops, µm.
    gap
        Half the distance between the walls of neighbouring loops, µm.
    """
    shape = y.shape
    angle = np.arctan2(y, x)
    reach = np.hypot(y, x)
    capsule = reach - outline.at(angle)
    lobes = int(random.integers(5, 9))
    cleft = np.maximum(0, np.cos(lobes * angle + random.uniform(0, 6.3) + wave(random, angle, range(1, 4), 0.5))) ** 6
    border = capsule + np.float32(space) + wave(random, angle, range(1, 5), space * 0.3) + 9 * cleft
    # Smooth noise bends the plane, which gives the loops curved and unequal shapes.
    bend = loop * 0.3
    bent_y = y + bend * cloud(random, shape, 34 / mpp, octaves=1)
    bent_x = x + bend * cloud(random, shape, 34 / mpp, octaves=1)
    loops = cells(random, bent_y, bent_x, loop)
    stalk = cloud(random, shape, 34 / mpp, octaves=2) + np.float32(0.6) * (0.45 - reach / outline.radius)
    # Above this quantile the gap between loops is mesangium, elsewhere it is urinary space.
    limit = float(np.quantile(stalk[::3, ::3][border[::3, ::3] < 0], 0.92 - 0.4 * mesangium))
    share = smoothstep(stalk, limit - 0.15, limit + 0.15)
    spread = gap + share * (0.9 + 2.6 * mesangium)
    uneven = 0.9 * cloud(random, shape, 9 / mpp, octaves=1)
    bent = cv2.GaussianBlur(loops.edge - spread + uneven, (0, 0), 1.5 / mpp)  # rounds the corners
    inner = np.minimum(as_distance(bent, mpp), -border - spread)
    corners = smoothstep(loops.corner - spread, 2.5 + 2.0 * mesangium, 1.0)
    core = (share * smoothstep(inner, 0.4, -0.6)).clip(0, 1) * smoothstep(border, 0.0, -2.0)
    core = np.maximum(core, 0.6 * corners * share * smoothstep(border, 0.0, -2.0))
    return Tuft(capsule, border, loops, inner, core)
