"""A needle biopsy in silver stain: the core on glass, its tubules, vessels and glomeruli."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from nephroscale_demo.glomerulus import Outline
from nephroscale_demo.noise import Field, as_distance, cells, cloud, grain, ridge, smoothstep, stream
from nephroscale_demo.section import render_glomerulus, render_vessel, stamp_nuclei
from nephroscale_demo.stain import LABORATORIES, Densities, colour

BASE_UM = 2.0  # tubules are laid out at this scale and enlarged, so that their outlines are smooth


@dataclass(frozen=True)
class SlidePlan:
    """What a slide shows.

    Attributes
    ----------
    image_id
        Name of the slide's random stream.
    seed
        Seed of the cohort.
    width, height
        Pixels of level 0.
    mpp
        µm per pixel of level 0.
    laboratory
        Key of `stain.LABORATORIES`.
    pattern
        Appearance of the glomeruli: a key of `section.PATTERNS`.
    glomeruli
        How many glomeruli to place, where there is room.
    sclerosed
        How many of them are globally sclerosed.
    artefact
        `pen`, `blur` or empty.
    """

    image_id: str
    seed: int
    width: int
    height: int
    mpp: float
    laboratory: str
    pattern: str
    glomeruli: int
    sclerosed: int = 0
    artefact: str = ""


@dataclass(frozen=True)
class Glomerulus:
    """A glomerulus on a slide: centre and outline in µm."""

    y: float
    x: float
    outline: Outline
    sclerosed: bool = False

    def polygon(self, mpp: float) -> np.ndarray:
        """Outline in raw level-0 pixels, [n, 2] x, y."""
        points: np.ndarray = (self.outline.polygon() + np.array([self.x, self.y])) / mpp
        return points


@dataclass
class Slide:
    """A generated slide: uint8 [rows, columns, 3], and its glomeruli."""

    picture: np.ndarray
    glomeruli: list[Glomerulus] = field(default_factory=list)


def generate_slide(plan: SlidePlan) -> Slide:
    """Generate a slide.

    Parameters
    ----------
    plan
        What the slide shows.

    Returns
    -------
    The picture and the true outlines of its glomeruli.
    """
    random = stream(plan.seed, plan.image_id)
    height, width = plan.height * plan.mpp, plan.width * plan.mpp
    base = (int(np.ceil(height / BASE_UM)), int(np.ceil(width / BASE_UM)))
    border = _core(random, base)
    glomeruli = _place(random, border, plan)
    inside_rows = np.flatnonzero((border < 6).any(axis=1))
    inside_columns = np.flatnonzero((border < 6).any(axis=0))
    top, bottom = (int(v * BASE_UM / plan.mpp) for v in (inside_rows[0], inside_rows[-1] + 1))
    left, right = (int(v * BASE_UM / plan.mpp) for v in (inside_columns[0], inside_columns[-1] + 1))
    window = (slice(inside_rows[0], inside_rows[-1] + 1), slice(inside_columns[0], inside_columns[-1] + 1))
    bottom, right = min(bottom, plan.height), min(right, plan.width)

    densities = _tissue(random, border[window], (bottom - top, right - left), plan.mpp)
    origin = (top * plan.mpp, left * plan.mpp)
    for glomerulus in glomeruli:
        render_glomerulus(
            random,
            densities,
            (glomerulus.y - origin[0], glomerulus.x - origin[1]),
            glomerulus.outline,
            pattern="sclerosed" if glomerulus.sclerosed else plan.pattern,
            mpp=plan.mpp,
        )
    for y, x, radius in _vessels(random, border, glomeruli):
        render_vessel(random, densities, (y - origin[0], x - origin[1]), radius, plan.mpp)
    edge = cv2.resize(border[window], (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    present = smoothstep(edge, 1.5, -2.0)
    recipe = LABORATORIES[plan.laboratory]
    vary = random.normal(1, (0.07, 0.10, 0.10)).clip(0.75, 1.3)
    picture = np.empty((plan.height, plan.width, 3), np.uint8)
    picture[:] = np.array(recipe.glass, np.uint8)
    for layer in (densities.silver, densities.counter, densities.nuclear):
        cv2.multiply(layer, present, layer)
        cv2.GaussianBlur(layer, (0, 0), max(0.35 / plan.mpp, 0.4), layer)
    picture[top:bottom, left:right] = colour(densities, recipe, vary)
    _camera(random, picture)
    if plan.artefact == "pen":
        _pen(random, picture, plan.mpp)
    elif plan.artefact == "blur":
        _blur(random, picture, border, plan.mpp)
    return Slide(picture, glomeruli)


def _core(random: np.random.Generator, base: tuple[int, int]) -> Field:
    """Signed distance to the edge of the biopsy core, µm, negative inside."""
    height, width = base[0] * BASE_UM, base[1] * BASE_UM
    y = np.arange(base[0], dtype=np.float32)[:, None] * BASE_UM
    x = np.arange(base[1], dtype=np.float32)[None, :] * BASE_UM
    half = min(random.uniform(295, 345), 0.36 * height)
    sway = (height / 2 - half) * 0.45
    phase = random.uniform(0, 2 * np.pi)
    middle = height / 2 + sway * np.sin(x / width * random.uniform(3.5, 6.5) + phase)
    start, stop = (random.uniform(0.03, 0.07) * width + 30 + half * 0.6 for _ in range(2))
    along = np.maximum(start - x, x - (width - stop)).clip(0)
    distance = np.hypot(y - middle, along * 1.15) - half
    ragged: Field = distance + 16 * cloud(random, base, 130, octaves=2) + 5 * cloud(random, base, 16, octaves=3)
    return ragged


def _place(random: np.random.Generator, border: Field, plan: SlidePlan) -> list[Glomerulus]:
    """Place the glomeruli inside the core, without overlap."""
    # The distance to the core's ragged edge or to the slide's border, whichever is nearer.
    room = cv2.distanceTransform(np.pad((border < 0).astype(np.uint8), 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[
        1:-1, 1:-1
    ]
    placed: list[Glomerulus] = []
    for number in range(plan.glomeruli):
        sclerosed = number >= plan.glomeruli - plan.sclerosed
        radius = random.uniform(50, 62) if sclerosed else np.clip(random.normal(97, 8), 82, 114)
        outline = Outline.sample(random, float(radius), 0.045 if sclerosed else 0.03)
        reach = outline.reach()
        allowed = room * BASE_UM > reach + 14
        for other in placed:
            centre = (round(other.x / BASE_UM), round(other.y / BASE_UM))
            forbidden = np.zeros(allowed.shape, np.uint8)
            cv2.circle(forbidden, centre, int((other.outline.reach() + reach + 22) / BASE_UM), 1, -1)
            allowed &= forbidden == 0
        candidates = np.flatnonzero(allowed)
        if candidates.size == 0:
            continue
        row, column = np.unravel_index(candidates[random.integers(candidates.size)], allowed.shape)
        placed.append(Glomerulus(float(row * BASE_UM), float(column * BASE_UM), outline, sclerosed))
    return placed


def _vessels(
    random: np.random.Generator, border: Field, glomeruli: list[Glomerulus]
) -> list[tuple[float, float, float]]:
    """Centres and radii of small arteries, µm, clear of the glomeruli."""
    found: list[tuple[float, float, float]] = []
    inside = np.flatnonzero(border < -90)
    wanted = max(2, inside.size // 60000)
    for _ in range(40):
        if len(found) == wanted or inside.size == 0:
            break
        row, column = np.unravel_index(inside[random.integers(inside.size)], border.shape)
        y, x, radius = float(row * BASE_UM), float(column * BASE_UM), float(random.uniform(22, 48))
        taken = [(g.y, g.x, g.outline.reach()) for g in glomeruli] + found
        if all(np.hypot(y - oy, x - ox) > radius * 1.2 + reach + 12 for oy, ox, reach in taken):
            found.append((y, x, radius))
    return found


def _tissue(random: np.random.Generator, border: Field, shape: tuple[int, int], mpp: float) -> Densities:
    """Render tubules and interstitium over the whole core."""
    base = border.shape
    y = np.repeat(np.arange(base[0], dtype=np.float32)[:, None] * BASE_UM, base[1], axis=1)
    x = np.repeat(np.arange(base[1], dtype=np.float32)[None, :] * BASE_UM, base[0], axis=0)
    for length, bend in ((130, 17), (45, 4)):
        y += bend * cloud(random, base, length / BASE_UM, octaves=1)
        x += bend * cloud(random, base, length / BASE_UM, octaves=1)
    tubules = cells(random, y, x, random.uniform(54, 62))
    scar = np.maximum(0, cloud(random, base, 300 / BASE_UM, octaves=2) - random.uniform(0.7, 1.6))
    rounded = np.maximum(0, 7 - tubules.corner) * 0.35
    wall = tubules.edge - 1.6 - 0.5 * np.abs(cloud(random, base, 40 / BASE_UM)) - 6 * scar - rounded
    wall = as_distance(cv2.GaussianBlur(wall, (0, 0), 1.3) - 0.7, BASE_UM)  # the blur rounds the corners
    kind = tubules.sample(random, 0, 1)
    distal = (kind < 0.3).astype(np.float32)
    thickness = np.where(distal > 0, 9.0, 14.0 + 8 * kind).astype(np.float32)
    lumen = wall - thickness + (2.4 - 1.6 * distal) * cloud(random, base, 11 / BASE_UM, octaves=2)

    size = (shape[1], shape[0])
    full_wall = cv2.resize(wall, size, interpolation=cv2.INTER_LINEAR)
    full_lumen = cv2.resize(lumen, size, interpolation=cv2.INTER_LINEAR)
    tone = cv2.resize(0.62 - 0.16 * distal + 0.12 * kind, size, interpolation=cv2.INTER_LINEAR)
    fine = grain(random, shape)
    speckle = cv2.GaussianBlur(fine, (0, 0), 0.7 / mpp) * np.float32(2.4 * 0.7 / mpp)
    fibres = cloud(random, base, 10 / BASE_UM, octaves=2)
    strands = cv2.resize(np.exp(-(fibres * fibres) * 9), size, interpolation=cv2.INTER_LINEAR)

    counter = tone * (1 + 0.22 * speckle)
    counter *= smoothstep(full_lumen, 1.2, -1.2)
    stroma = smoothstep(full_wall, 0.4, -0.8)
    counter += (0.42 + 0.1 * speckle - counter) * stroma
    silver = ridge(full_wall, 0.0, 1.0)
    silver *= 0.95
    silver += (0.04 + 0.3 * strands) * stroma
    silver += np.float32(0.05) * (1 + 0.5 * speckle)

    canvas = np.zeros(shape, np.uint8)
    step = 6.5
    rows, columns = int(base[0] * BASE_UM / step), int(base[1] * BASE_UM / step)
    points: np.ndarray = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), -1).reshape(-1, 2)
    points = ((points + random.uniform(0.0, 1.0, points.shape)) * step).astype(np.float64)
    at = (points / BASE_UM).astype(np.intp)
    near, kept = wall[at[:, 0], at[:, 1]], random.uniform(0, 1, len(points))
    rate = np.where(distal[at[:, 0], at[:, 1]] > 0, 0.75, 0.45)
    present = border[at[:, 0], at[:, 1]] < -4
    tubular = present & (near > 2.6) & (near < 7.5) & (kept < rate)
    stromal = present & (near < -0.2) & (kept < 0.5)
    stamp_nuclei(random, canvas, points[tubular], radius=(2.5, 3.3), slimness=(0.8, 1.0), mpp=mpp)
    stamp_nuclei(random, canvas, points[stromal], radius=(2.0, 3.4), slimness=(0.35, 0.8), mpp=mpp)
    nuclear = canvas.astype(np.float32)
    nuclear *= (0.85 / 255) * (1 + 0.25 * speckle)
    counter *= 1 - 0.55 * nuclear
    return Densities(silver.astype(np.float32), counter.astype(np.float32), nuclear.astype(np.float32))


def _camera(random: np.random.Generator, picture: np.ndarray) -> None:
    """Add the camera's noise."""
    noise = np.round(1.1 * grain(random, picture.shape[:2])).astype(np.int16)
    for row in range(0, picture.shape[0], 512):
        part = picture[row : row + 512].astype(np.int16) + noise[row : row + 512, :, None]
        picture[row : row + 512] = part.clip(0, 255).astype(np.uint8)


def _pen(random: np.random.Generator, picture: np.ndarray, mpp: float) -> None:
    """Add translucent strokes of a felt pen."""
    height, width = picture.shape[:2]
    mark = np.zeros((height, width), np.uint8)
    for _ in range(2):
        knots = random.normal(0, 35, 6).cumsum() / mpp
        share = np.linspace(0, 5, 80)
        x = random.uniform(0.15, 0.85) * width + cv2.GaussianBlur(np.interp(share, range(6), knots), (1, 31), 0).ravel()
        y = np.linspace(-0.1, random.uniform(0.35, 0.6), 80) * height
        points = np.round(np.stack([x, y], 1)).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(mark, [points], False, 255, int(random.uniform(55, 85) / mpp), cv2.LINE_AA)
    soft = cv2.GaussianBlur(mark, (0, 0), 5 / mpp)
    ink = np.array([(0.10, 0.62, 0.42), (0.12, 0.20, 0.72)][int(random.integers(2))], np.float32)
    rows = np.flatnonzero(soft.any(axis=1))
    part = slice(int(rows[0]), int(rows[-1]) + 1)
    cover = soft[part].astype(np.float32)[..., None] / 255 * 0.82
    picture[part] = (picture[part] * (1 - cover + cover * ink)).astype(np.uint8)


def _blur(random: np.random.Generator, picture: np.ndarray, border: Field, mpp: float) -> None:
    """Blur one region of the core."""
    inside = np.argwhere(border < -100)
    row, column = inside[random.integers(len(inside))] * BASE_UM / mpp
    weight: np.ndarray = np.zeros(picture.shape[:2], np.uint8)
    axes = (int(330 / mpp), int(250 / mpp))
    cv2.ellipse(weight, (int(column), int(row)), axes, random.uniform(0, 180), 0, 360, 255, -1)
    weight = cv2.blur(weight, (int(120 / mpp), int(120 / mpp)))
    soft = cv2.GaussianBlur(picture, (0, 0), 4.5 / mpp)
    rows = np.flatnonzero(weight.any(axis=1))
    part = slice(int(rows[0]), int(rows[-1]) + 1)
    share = weight[part].astype(np.float32)[..., None] / 255
    picture[part] = (picture[part] * (1 - share) + soft[part] * share).astype(np.uint8)
