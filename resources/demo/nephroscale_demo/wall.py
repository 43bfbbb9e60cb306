"""The capillary wall in section: the basement membrane as a closed curve, and the structures on both sides of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nephroscale_demo.glomerulus import Outline
from nephroscale_demo.noise import Field, cloud, smoothstep, wave

if TYPE_CHECKING:
    from nephroscale_demo.tem import MicrographPlan

SAMPLES = 2048


@dataclass(frozen=True)
class Frame:
    """The pixels of a micrograph.

    Attributes
    ----------
    y, x
        Position of each pixel, µm.
    scale
        µm per pixel.
    """

    y: Field
    x: Field
    scale: float


@dataclass(frozen=True)
class Wall:
    """Signed distances in µm, over the pixels of a micrograph.

    Attributes
    ----------
    above
        Height above the outer surface of the basement membrane.
    below
        Depth below its inner surface.
    feet
        Height of the foot processes at this position along the wall.
    lumen
        Positive inside the capillary's lumen.
    lining
        Thickness of the endothelium there.
    nucleus
        Negative inside the cell nucleus under the wall.
    mesangial
        Whether the lobule holds mesangium.
    subepithelial, subendothelial, mesangial_deposit
        Negative inside deposits; None where there are none.
    rarefied
        Negative inside lucent areas of the membrane; None where there are none.
    inclusion
        Negative inside a tubuloreticular inclusion.
    red_cell
        Negative inside a red cell; None where there is none.
    """

    above: Field
    below: Field
    feet: Field
    lumen: Field
    lining: Field
    nucleus: Field
    mesangial: bool
    subepithelial: Field | None
    subendothelial: Field | None
    mesangial_deposit: Field | None
    rarefied: Field | None
    inclusion: Field | None
    red_cell: Field | None


class _Along:
    """Profiles along the wall, sampled over the angle and looked up at each pixel."""

    def __init__(self, angle: Field, length: float) -> None:
        place = (angle + np.float32(np.pi)) * np.float32(SAMPLES / (2 * np.pi))
        self.low = place.astype(np.int32) % SAMPLES
        self.share = place - np.floor(place)
        self.at = np.linspace(0, length, SAMPLES, endpoint=False)
        self.length = length

    def look_up(self, profile: np.ndarray) -> Field:
        """Interpolate a profile at each pixel."""
        profile = profile.astype(np.float32)
        here = profile[self.low]
        at_pixels: Field = here + (np.roll(profile, -1)[self.low] - here) * self.share
        return at_pixels

    def away(self, place: float) -> np.ndarray:
        """Signed distance along the wall from a position, µm."""
        return (self.at - place + self.length / 2) % self.length - self.length / 2


def lay_out_wall(
    random: np.random.Generator,
    plan: MicrographPlan,
    frame: Frame,
    centre: tuple[float, float],
    radius: float,
    *,
    mesangial: bool,
) -> Wall:
    """Lay out one lobule.

    Parameters
    ----------
    random
        Generator of the image.
    plan
        What the image shows.
    frame
        The image's pixels.
    centre
        y, x of the lobule's centre, µm.
    radius
        Mean radius of its basement membrane, µm.
    mesangial
        Whether it contains mesangium with lumina at its rim; otherwise it is one capillary loop.
    """
    y, x, scale = frame.y, frame.x, frame.scale
    outline = Outline.sample(random, radius, 0.045)
    dy, dx = y - np.float32(centre[0]), x - np.float32(centre[1])
    angle = np.arctan2(dy, dx)
    reach = np.hypot(dy, dx)
    along = _Along(angle, 2 * np.pi * radius)
    thick = float(random.uniform(0.27, 0.34)) + {3: 0.26, 4: 0.34}.get(plan.subepithelial, 0.0)
    outer = reach - outline.at(angle) + 0.035 * cloud(random, y.shape, 0.9 / scale, octaves=2)

    humps, spikes, buried = _subepithelial(random, along, plan.subepithelial)
    effaced = _effacement(random, along, humps, plan)
    # Spikes belong to the membrane: they raise its surface between the deposits.
    above = outer - along.look_up(spikes)
    below = -(outer + thick)
    if plan.subepithelial == 4:  # the membrane is thick and uneven
        below += along.look_up(_unevenness(random, along))
    cover = _smooth(np.maximum(humps, spikes), along, 0.06) - spikes
    feet = along.look_up(np.maximum(cover, 0) + _feet(random, along, effaced))
    feet += 0.03 * cloud(random, y.shape, 0.25 / scale, octaves=2)

    lining = along.look_up(_lining(random, along))
    if mesangial:
        lining = np.maximum(lining, smoothstep(below, 0.12, 0.3) * np.float32(0.1))
        lumen = _side_lumina(random, frame, centre, radius)
        lumen = np.minimum(lumen, below - lining)
    else:
        lumen = below - lining
    nucleus, lumen, inclusion = _endothelial_cell(random, frame, centre, radius, lumen, mesangial=mesangial)

    subepithelial = None
    if plan.subepithelial in (1, 2):
        top = along.look_up(np.where(humps > 0.03, humps, -0.2))
        subepithelial = np.maximum(outer - top, np.float32(-0.03) - outer) + 0.02
    elif plan.subepithelial == 3:
        extent = along.look_up(np.where(buried > 0.02, buried, -0.2))
        subepithelial = np.abs(outer + thick * 0.42) - extent
    rarefied = None
    if plan.subepithelial == 4:
        extent = along.look_up(np.where(buried > 0.02, buried, -0.2))
        rarefied = np.abs(outer + thick * 0.45) - extent
    subendothelial = None
    if plan.subendothelial > 0 and not mesangial:
        bands = _bands(random, along, plan.subendothelial)
        band = along.look_up(np.where(bands > 0.03, bands, -0.2))
        subendothelial = np.maximum(below - band, -below - 0.02)
        lumen = np.minimum(lumen, below - np.maximum(band, 0) - 0.09)
    deposit = None
    if mesangial and plan.mesangial > 0:
        bands = 0.75 * _bands(random, along, plan.mesangial)
        band = along.look_up(np.where(bands > 0.03, bands, -0.2))
        deposit = _mesangial(random, frame, below, lumen + lining, band=band, amount=plan.mesangial)
    red_cell = None
    if random.uniform() < 0.1:
        red_cell = _red_cell(random, frame, lumen)
    return Wall(
        above=above,
        below=below,
        feet=feet,
        lumen=lumen,
        lining=lining,
        nucleus=nucleus,
        mesangial=mesangial,
        subepithelial=subepithelial,
        subendothelial=subendothelial,
        mesangial_deposit=deposit,
        rarefied=rarefied,
        inclusion=inclusion,
        red_cell=red_cell,
    )


def _places(random: np.random.Generator, length: float, gap: tuple[float, float]) -> list[float]:
    """Sample positions along the wall at irregular distances, µm."""
    found, at = [], float(random.uniform(0, gap[1]))
    while at < length - gap[0]:
        found.append(at)
        at += float(random.uniform(*gap))
    return found


def _subepithelial(random: np.random.Generator, along: _Along, stage: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Heights of humps and of spikes, and half widths of buried deposits, along the wall, µm."""
    humps, spikes, buried = (np.zeros(SAMPLES) for _ in range(3))
    if stage == 0:
        return humps, spikes, buried
    gap = {1: (0.42, 0.85), 2: (0.5, 0.72), 3: (0.5, 0.8), 4: (0.55, 1.2)}[stage]
    for place in _places(random, along.length, gap):
        half = random.uniform(*{1: (0.11, 0.17), 2: (0.17, 0.24), 3: (0.18, 0.28), 4: (0.2, 0.34)}[stage])
        height = random.uniform(*{1: (0.14, 0.24), 2: (0.28, 0.42), 3: (0.11, 0.17), 4: (0.09, 0.18)}[stage])
        round_ = height * np.sqrt((1 - (along.away(place) / half) ** 2).clip(0))
        target = buried if stage >= 3 else humps
        np.maximum(target, round_, out=target)
    if stage == 2:
        # Between the humps, membrane rises to about their height and narrows to a tip.
        tall = 0.27 + 0.06 * np.cos(along.at * 2.3 + 1) + 0.03 * np.cos(along.at * 7.1)
        spikes = tall * np.sqrt((1 - (humps / 0.24).clip(0, 1) ** 1.5).clip(0))
        spikes = _smooth(spikes, along, 0.035)
        spikes[humps > spikes] *= 0.25
        spikes = _smooth(spikes, along, 0.012)
    return humps, spikes, buried


def _unevenness(random: np.random.Generator, along: _Along) -> np.ndarray:
    """Thickness missing from the membrane along the wall, relative to its maximum, µm."""
    slow = wave(random, (along.at / along.length * 2 * np.pi).astype(np.float32), range(3, 14), 1.0)
    missing: np.ndarray = 0.09 * np.abs(slow).clip(0, 2)
    return missing


def _smooth(profile: np.ndarray, along: _Along, width: float) -> np.ndarray:
    """Blur a profile along the wall by `width` µm."""
    frequency = np.fft.rfftfreq(SAMPLES, along.length / SAMPLES)
    return np.fft.irfft(np.fft.rfft(profile) * np.exp(-2 * (np.pi * frequency * width) ** 2), SAMPLES)


def _effacement(random: np.random.Generator, along: _Along, humps: np.ndarray, plan: MicrographPlan) -> np.ndarray:
    """Degree of foot process effacement along the wall, 0 to 1."""
    level = 0.75 if plan.subepithelial else 0.25 + 0.3 * plan.subendothelial
    slow = wave(random, (along.at / along.length * 2 * np.pi).astype(np.float32), range(2, 9), 1.0)
    merged = 1 / (1 + np.exp(-6 * (slow + 2.2 * (level - 0.5))))
    return np.maximum(merged, (humps > 0.02) * 0.6 * merged)


def _feet(random: np.random.Generator, along: _Along, effaced: np.ndarray) -> np.ndarray:
    """Height of the foot processes along the wall, µm; 0 in the slits between them."""
    total = np.zeros(SAMPLES)
    for place in _places(random, along.length, (0.34, 0.52)):
        half = random.uniform(0.13, 0.19)
        inside = (1 - (along.away(place) / half) ** 2).clip(0)
        np.maximum(total, random.uniform(0.22, 0.5) * inside**0.35, out=total)
    smooth = 0.24 + 0.05 * np.cos(along.at * 2.1) + 0.03 * np.cos(along.at * 5.3)
    height: np.ndarray = total * (1 - effaced) + smooth * effaced
    return height


def _lining(random: np.random.Generator, along: _Along) -> np.ndarray:
    """Thickness of the endothelium along the wall, µm; close to 0 at its fenestrae."""
    total = np.full(SAMPLES, 0.015)
    for place in _places(random, along.length, (0.16, 0.34)):
        half = random.uniform(0.05, 0.12)
        np.maximum(total, random.uniform(0.07, 0.13) * (1 - (along.away(place) / half) ** 2).clip(0) ** 0.4, out=total)
    return total


def _bands(random: np.random.Generator, along: _Along, amount: float) -> np.ndarray:
    """Thickness of subendothelial deposits along the wall, µm: long and broad."""
    total = np.zeros(SAMPLES)
    for place in _places(random, along.length, (1.5, 2.4)):
        half = random.uniform(0.55, 1.0) * (0.6 + 0.4 * amount)
        thick = random.uniform(0.32, 0.55) * (0.6 + 0.4 * amount)
        np.maximum(total, thick * (1 - (along.away(place) / half) ** 2).clip(0) ** 0.5, out=total)
    return total


def _side_lumina(random: np.random.Generator, frame: Frame, centre: tuple[float, float], radius: float) -> Field:
    """Lumina beside the mesangium: one or two, near the lobule's rim."""
    y, x, scale = frame.y, frame.x, frame.scale
    lumen = np.full(y.shape, -np.inf, np.float32)
    turn = random.uniform(0, 2 * np.pi)
    for number in range(int(random.integers(1, 3))):
        angle = turn + number * random.uniform(2.2, 4.0)
        size = random.uniform(0.38, 0.55) * radius
        spot = (centre[0] + np.sin(angle) * radius * 0.72, centre[1] + np.cos(angle) * radius * 0.72)
        lumen = np.maximum(lumen, np.float32(size) - np.hypot(y - np.float32(spot[0]), x - np.float32(spot[1])))
    return lumen + 0.09 * cloud(random, y.shape, 0.7 / scale, octaves=2)


def _endothelial_cell(
    random: np.random.Generator,
    frame: Frame,
    centre: tuple[float, float],
    radius: float,
    lumen: Field,
    *,
    mesangial: bool,
) -> tuple[Field, Field, Field | None]:
    """Place a cell body: its nucleus, the remaining lumen, and the position of an inclusion in its cytoplasm."""
    y, x, scale = frame.y, frame.x, frame.scale
    angle = random.uniform(0, 2 * np.pi)
    far = random.uniform(0.1, 0.35) * radius if mesangial else random.uniform(0.6, 0.8) * radius
    spot = np.array([centre[0] + np.sin(angle) * far, centre[1] + np.cos(angle) * far], np.float32)
    turn = random.uniform(0, np.pi)
    dy, dx = y - spot[0], x - spot[1]
    u = dx * np.float32(np.cos(turn)) + dy * np.float32(np.sin(turn))
    v = (dy * np.float32(np.cos(turn)) - dx * np.float32(np.sin(turn))) * np.float32(random.uniform(1.2, 1.7))
    body = np.hypot(u, v) + 0.12 * cloud(random, y.shape, 0.9 / scale, octaves=2)
    size = np.float32(random.uniform(0.75, 1.1))
    if not mesangial:
        lumen = np.minimum(lumen, body - size - np.float32(0.3))
    side = random.uniform(0, 2 * np.pi)
    near = size + 0.16
    inclusion = np.hypot(u - np.float32(near * np.cos(side)), v - np.float32(near * np.sin(side))) - np.float32(0.3)
    return body - size, lumen, inclusion + 0.06 * cloud(random, y.shape, 0.3 / scale)


def _mesangial(
    random: np.random.Generator, frame: Frame, below: Field, edge: Field, *, band: Field, amount: float
) -> Field:
    """Place deposits in the mesangial matrix, many of them directly below the basement membrane."""
    y, x, scale = frame.y, frame.x, frame.scale
    total = np.full(y.shape, np.inf, np.float32)
    matrix = np.argwhere((below > 0.1) & (below < 1.5) & (edge < -0.25))
    if len(matrix):
        for _ in range(round(4 + 6 * amount)):
            row, column = matrix[random.integers(len(matrix))] * scale
            turn, slim = random.uniform(0, np.pi), random.uniform(1.3, 2.2)
            dy, dx = y - np.float32(row), x - np.float32(column)
            u = dx * np.float32(np.cos(turn)) + dy * np.float32(np.sin(turn))
            v = (dy * np.float32(np.cos(turn)) - dx * np.float32(np.sin(turn))) * np.float32(slim)
            total = np.minimum(total, np.hypot(u, v) - np.float32(random.uniform(0.22, 0.48)))
    total = np.minimum(total, np.maximum(below - band, 0.03 - below))
    total += 0.07 * cloud(random, y.shape, 0.45 / scale, octaves=2)
    deposits: Field = np.maximum(total, edge + np.float32(0.06))
    return deposits


def _red_cell(random: np.random.Generator, frame: Frame, lumen: Field) -> Field | None:
    """Place a red cell in the lumen; None if there is no room."""
    y, x, scale = frame.y, frame.x, frame.scale
    room = np.argwhere(lumen > 0.7)
    if len(room) == 0:
        return None
    row, column = room[random.integers(len(room))] * scale
    dy, dx = y - np.float32(row), x - np.float32(column)
    shape = np.hypot(dy, dx * np.float32(random.uniform(0.6, 1.5))) - np.float32(random.uniform(0.7, 1.2))
    shape += 0.12 * cloud(random, y.shape, 1.2 / scale, octaves=1)
    cell: Field = np.maximum(shape, np.float32(0.12) - lumen)
    return cell
