"""Random streams and procedural textures: clouds, cells, stripes.

Every texture is a pure function of its generator and of the coordinates, and each image has its own generator. So
neither the order of the images nor the number of processes changes a byte.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np

Field = np.ndarray  # float32 [rows, columns]


def stream(seed: int, *names: str) -> np.random.Generator:
    """Return the random generator of one image, or of one part of it.

    Parameters
    ----------
    seed
        Seed of the cohort.
    names
        Image id and, for a part with its own generator, the part's name.

    References
    ----------
    Salmon et al., Parallel random numbers: as easy as 1, 2, 3. SC 2011 (Philox).
    """
    words = np.frombuffer(hashlib.blake2b("\0".join(names).encode(), digest_size=16).digest(), "<u4")
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *words.tolist()])))


def cloud(
    random: np.random.Generator, shape: tuple[int, int], size: float, *, octaves: int = 3, gain: float = 0.5
) -> Field:
    """Generate smooth noise of several octaves.

    Parameters
    ----------
    random
        Generator that the values come from.
    shape
        Rows and columns.
    size
        Length of the coarsest blobs, pixels; each octave halves it.
    octaves
        Number of octaves; those finer than a pixel are left out.
    gain
        Amplitude of an octave relative to the one before it.

    Returns
    -------
    Float32 [rows, columns] of mean 0 and standard deviation about 1.
    """
    total = np.zeros(shape, np.float32)
    power, amplitude = 0.0, 1.0
    for octave in range(octaves):
        step = max(size / 2**octave, 1.0)
        rows, columns = int(shape[0] / step) + 4, int(shape[1] / step) + 4
        grid: np.ndarray = random.standard_normal((rows, columns), np.float32)
        if step > 1.0:
            # The grid has a random phase; otherwise its nodes would coincide in all octaves.
            phase_y, phase_x = random.uniform(0, 1, 2)
            matrix = np.array([[1 / step, 0, 1 + phase_x], [0, 1 / step, 1 + phase_y]], np.float32)
            grid = cv2.warpAffine(grid, matrix, shape[::-1], flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
        total += amplitude * grid[: shape[0], : shape[1]]
        power += amplitude**2 * (0.55 if step > 1.0 else 1.0)  # cubic interpolation lowers the variance
        amplitude *= gain
        if step <= 1.0:
            break
    return total / np.float32(np.sqrt(power))


def grain(random: np.random.Generator, shape: tuple[int, int], tile: int = 512) -> Field:
    """Generate white noise by repeating one random tile, which is cheap for whole slides.

    Parameters
    ----------
    random
        Generator that the values come from.
    shape
        Rows and columns.
    tile
        Side of the repeated tile, pixels.

    Returns
    -------
    Float32 [rows, columns] of mean 0 and standard deviation 1.
    """
    values = random.standard_normal((min(tile, shape[0]), min(tile, shape[1])), np.float32)
    repeats = (-(-shape[0] // values.shape[0]), -(-shape[1] // values.shape[1]))
    return np.tile(values, repeats)[: shape[0], : shape[1]]


@dataclass(frozen=True)
class Cells:
    """Cells around scattered points, evaluated at each pixel.

    Attributes
    ----------
    edge
        Half the difference of the distances to the nearest two points: about the distance to the cell's border.
    corner
        Half the difference of the distances to the nearest and the third point: small where three cells meet.
    index
        Number of the cell, int32.
    angle
        Direction from the cell's point to the pixel, radians.
    reach
        Distance to the cell's point.
    """

    edge: Field
    corner: Field
    index: np.ndarray
    angle: Field
    reach: Field

    def sample(self, random: np.random.Generator, low: float, high: float) -> Field:
        """Sample a uniform random value for each cell, and return it at each of the cell's pixels."""
        values: Field = random.uniform(low, high, int(self.index.max()) + 1).astype(np.float32)
        at_pixels: Field = values[self.index]
        return at_pixels


def cells(random: np.random.Generator, y: Field, x: Field, spacing: float, jitter: float = 0.8) -> Cells:
    """Divide the plane into cells around the points of a jittered hexagonal grid.

    Parameters
    ----------
    random
        Generator that the points come from.
    y, x
        Coordinates at which to evaluate, any unit. Bent coordinates give organic shapes.
    spacing
        Distance of the grid's points, same unit.
    jitter
        Range of a point's displacement, as a share of the spacing.

    References
    ----------
    Worley, A cellular texture basis function. SIGGRAPH 1996.
    """
    low_y, low_x = float(y.min()) - 2 * spacing, float(x.min()) - 2 * spacing
    rows = int((float(y.max()) - low_y) / spacing) + 3
    columns = int((float(x.max()) - low_x) / spacing) + 3
    offset = random.uniform(-jitter / 2, jitter / 2, (2, rows, columns)).astype(np.float32)
    grid_y = (np.arange(rows, dtype=np.float32)[:, None] + 0.5 + offset[0]) * spacing
    grid_x = (np.arange(columns, dtype=np.float32)[None, :] + 0.5 + offset[1]) * spacing
    grid_x += (np.arange(rows) % 2)[:, None].astype(np.float32) * spacing / 2
    flat_y, flat_x = grid_y.ravel(), grid_x.ravel()
    local_y, local_x = y - np.float32(low_y), x - np.float32(low_x)
    row = (local_y / spacing).astype(np.int32)
    column = ((local_x - (row % 2) * np.float32(spacing / 2)) / spacing).astype(np.int32)
    first = np.full(y.shape, np.inf, np.float32)
    second, third = first.copy(), first.copy()
    index = np.zeros(y.shape, np.int32)
    for step_y in (-1, 0, 1):
        for step_x in (-1, 0, 1):
            here = (row + step_y).clip(0, rows - 1) * columns + (column + step_x).clip(0, columns - 1)
            distance = cv2.magnitude(flat_y[here] - local_y, flat_x[here] - local_x)
            third = np.minimum(third, np.maximum(second, distance))
            second = np.minimum(second, np.maximum(first, distance))
            np.copyto(index, here, where=distance < first)
            first = np.minimum(first, distance)
    angle = np.arctan2(local_y - flat_y[index], local_x - flat_x[index])
    return Cells((second - first) / 2, (third - first) / 2, index, angle, first)


def as_distance(values: Field, step: float) -> Field:
    """Divide a bent distance by its slope, which makes it a distance again near its zero line.

    Without this, the width of lines rendered along the zero line varies.

    Parameters
    ----------
    values
        A field that is 0 on a line and was a distance before the coordinates were bent.
    step
        Distance of neighbouring pixels, in the unit of `values`.
    """
    across = cv2.Scharr(values, cv2.CV_32F, 1, 0, scale=1 / (32 * step))
    down = cv2.Scharr(values, cv2.CV_32F, 0, 1, scale=1 / (32 * step))
    slope = cv2.blur(cv2.magnitude(across, down), (3, 3))
    return values / np.maximum(slope, 0.4)


def smoothstep(values: Field, low: float, high: float) -> Field:
    """Rise smoothly from 0 at `low` to 1 at `high` (falls where `high` is the smaller)."""
    t: Field = ((values - np.float32(low)) / np.float32(high - low)).clip(0, 1)
    step: Field = t * t * (3 - 2 * t)
    return step


def ridge(values: Field, centre: float | Field, width: float | Field) -> Field:
    """Compute a bell curve of height 1 around `centre`: a line where `values` is a distance."""
    scaled = (values - centre) / width
    bell: Field = np.exp(-(scaled * scaled)).astype(np.float32, copy=False)
    return bell


def wave(random: np.random.Generator, angle: Field, orders: range, size: float) -> Field:
    """Sum harmonics of an angle with random phases: the deviation of an outline from a circle.

    Parameters
    ----------
    random
        Generator of amplitudes and phases.
    angle
        Angles, radians.
    orders
        Harmonics to take.
    size
        Standard deviation of the sum, roughly.
    """
    total: Field = np.zeros_like(angle)
    for order in orders:
        amplitude, phase = random.normal(0, size / np.sqrt(len(orders) / 2)), random.uniform(0, 2 * np.pi)
        total = total + np.float32(amplitude) * np.cos(order * angle + np.float32(phase))
    return total
