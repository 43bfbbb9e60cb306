"""A transmission electron micrograph of the glomerular capillary wall, with deposits at their sites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from nephroscale.demo.micrograph import burn_in, develop
from nephroscale.demo.noise import Field, cloud, ridge, smoothstep, stream
from nephroscale.demo.wall import Wall, draw_wall

if TYPE_CHECKING:
    from numpy.typing import NDArray

GREY = {
    "urine": 216.0,
    "plasma": 204.0,
    "membrane": 148.0,
    "podocyte": 92.0,
    "endothelium": 100.0,
    "matrix": 140.0,
    "mesangial cell": 108.0,
    "deposit": 50.0,
    "red cell": 40.0,
}


@dataclass(frozen=True)
class MicrographPlan:
    """What a micrograph shows.

    Attributes
    ----------
    image_id
        Names the image's random stream.
    seed
        Seed of the cohort.
    width, height
        Pixels, without the data strip.
    nm_per_px
        nm per pixel.
    view
        `loop` (a capillary loop) or `mesangium` (a lobule with its stalk).
    subepithelial
        Stage of subepithelial deposits: 0 none, 1 small without spikes, 2 with spikes between, 3 incorporated.
    subendothelial, mesangial
        Amount of deposits at these sites, 0 to 1.
    inclusions
        Whether tubuloreticular inclusions are seen.
    magnification
        Printed on the image.
    label
        Text burned into the image.
    style
        How the scale bar is burned in: `strip` below the picture, or `overlay`.
    """

    image_id: str
    seed: int
    width: int
    height: int
    nm_per_px: float
    view: str
    subepithelial: int = 0
    subendothelial: float = 0.0
    mesangial: float = 0.0
    inclusions: bool = False
    magnification: int = 8000
    label: str = ""
    style: str = "overlay"


@dataclass(frozen=True)
class Micrograph:
    """A drawn micrograph, uint8 [rows, columns], and the site of each of its deposits' pixels.

    Attributes
    ----------
    picture
        Grey picture with what is burned in.
    sites
        uint8 [rows, columns]: 0 none, 1 subepithelial, 2 subendothelial, 3 mesangial.
    """

    picture: NDArray[np.uint8]
    sites: NDArray[np.uint8]


def draw_micrograph(plan: MicrographPlan) -> Micrograph:
    """Draw a micrograph.

    Parameters
    ----------
    plan
        What it shows.

    Returns
    -------
    The picture and where its deposits are.
    """
    random = stream(plan.seed, plan.image_id)
    shape = (plan.height, plan.width)
    scale = np.float32(plan.nm_per_px / 1000)
    y = np.repeat((np.arange(plan.height, dtype=np.float32) * scale)[:, None], plan.width, axis=1)
    x = np.repeat((np.arange(plan.width, dtype=np.float32) * scale)[None, :], plan.height, axis=0)
    walls = _lobules(random, plan, y, x)

    grey = np.full(shape, GREY["urine"], np.float32)
    grey += 2.5 * cloud(random, shape, 0.5 / scale, octaves=2)
    sites = np.zeros(shape, np.uint8)
    _podocytes(random, grey, walls, y, x, float(scale))
    for wall in walls:
        _draw_lobule(random, grey, sites, wall, plan, float(scale))
    picture = develop(random, grey, plan.nm_per_px)
    picture = burn_in(picture, plan.nm_per_px, plan.magnification, plan.label, plan.style)
    full = np.zeros(picture.shape, np.uint8)
    full[: plan.height] = sites
    return Micrograph(picture, full)


def _lobules(random: np.random.Generator, plan: MicrographPlan, y: Field, x: Field) -> list[Wall]:
    """Place the lobules: each a closed basement membrane."""
    height, width = plan.height * plan.nm_per_px / 1000, plan.width * plan.nm_per_px / 1000
    turn = random.uniform(0, 2 * np.pi)
    toward = np.array([np.sin(turn), np.cos(turn)])
    middle = np.array([height, width]) / 2
    walls = []
    if plan.view == "mesangium":
        radius = random.uniform(2.7, 3.3)
        walls.append(draw_wall(random, plan, y, x, tuple(middle + toward * (radius - 1.75)), radius, mesangial=True))
    else:
        radius = random.uniform(2.3, 3.4)
        offset = radius + random.uniform(-0.5, 0.1)
        walls.append(draw_wall(random, plan, y, x, tuple(middle + toward * offset), radius, mesangial=False))
    if random.uniform() < 0.7:  # the neighbouring loop, across the urinary space
        other = random.uniform(2.0, 3.2)
        away = toward if plan.view == "loop" else toward * 1.2
        spot = middle - away * (other + random.uniform(1.1, 1.5))
        walls.append(draw_wall(random, plan, y, x, tuple(spot), other, mesangial=False))
    return walls


def _paint(grey: Field, cover: Field, value: float | Field) -> None:
    """Cover part of the picture with a grey value."""
    grey += (value - grey) * cover


def _podocytes(random: np.random.Generator, grey: Field, walls: list[Wall], y: Field, x: Field, scale: float) -> None:
    """Cell bodies of podocytes, afloat in the urinary space."""
    above = np.minimum.reduce([wall.above for wall in walls])
    spots = np.argwhere(above > 1.0)
    if len(spots) == 0 or random.uniform() < 0.25:
        return
    row, column = spots[random.integers(len(spots))] * scale
    reach = np.hypot((y - row) * random.uniform(0.7, 1.4), x - column)
    reach += 0.25 * cloud(random, grey.shape, 0.9 / scale, octaves=2)
    body = reach - random.uniform(0.8, 1.5)
    body = np.maximum(body, 0.62 - above)
    cover = smoothstep(body, 0.012, -0.012)
    texture = cytoplasm(random, grey.shape, scale)
    _paint(grey, cover, GREY["podocyte"] + 18 + 10 * texture)
    draw_nucleus(random, grey, body + 0.32, scale)
    grey -= 55 * ridge(body, 0.0, max(0.012, 0.8 * scale))


def cytoplasm(random: np.random.Generator, shape: tuple[int, int], scale: float) -> Field:
    """Texture of cytoplasm: ribosomes and membranes, mean 0."""
    return 0.7 * cloud(random, shape, 0.06 / scale, octaves=3, gain=0.8) + 0.5 * cloud(random, shape, 0.4 / scale)


def draw_nucleus(random: np.random.Generator, grey: Field, body: Field, scale: float) -> None:
    """Draw a nucleus where `body` (a signed distance, µm) is negative: pale inside, dark chromatin at its rim."""
    cover = smoothstep(body, 0.02, -0.02)
    lumps = cloud(random, grey.shape, 0.9 / scale, octaves=3)
    fine = cloud(random, grey.shape, 0.05 / scale, octaves=2, gain=0.9)
    rim = smoothstep(body, -0.28, -0.05) * smoothstep(lumps, -1.2, 0.4)
    chromatin = np.maximum(rim, smoothstep(lumps, 0.7, 1.3))
    _paint(grey, cover, 138 + 15 * fine - chromatin * (52 + 8 * fine))
    grey -= 38 * ridge(body, 0.0, max(0.012, 0.8 * scale))


def _draw_lobule(
    random: np.random.Generator, grey: Field, sites: NDArray[np.uint8], wall: Wall, plan: MicrographPlan, scale: float
) -> None:
    """Draw one lobule, from the podocytes' feet inwards."""
    shape = grey.shape
    hair = max(0.011, 0.75 * scale)  # a membrane's line is never thinner than a pixel
    texture = cytoplasm(random, shape, scale)
    lines = np.zeros(shape, np.float32)

    # Feet of the podocytes.
    feet = wall.above - wall.feet
    cover = smoothstep(feet, 0.012, -0.012) * smoothstep(wall.above, -0.02, 0.02)
    _paint(grey, cover, GREY["podocyte"] + 9 * texture)
    lines += 30 * ridge(feet, 0.0, hair) * (wall.above > 0)

    # Everything inside the outer surface of the basement membrane.
    inside = smoothstep(wall.above, 0.012, -0.012)
    dense = 4 * cloud(random, shape, 0.12 / scale, octaves=2)
    _paint(grey, inside, GREY["membrane"] + dense)
    deep = wall.below
    under = smoothstep(deep, -0.012, 0.012)
    if wall.mesangial:
        fibres = cloud(random, shape, 0.25 / scale, octaves=3)
        matrix = GREY["matrix"] + 9 * fibres + 4 * texture
        _paint(grey, under, matrix)
        process = cloud(random, shape, 0.75 / scale, octaves=2) + 1.1 * smoothstep(deep, 0.2, 1.4) - 0.75
        process = np.minimum(process * 0.35, deep - 0.12)
        _paint(grey, smoothstep(process, -0.012, 0.012), GREY["mesangial cell"] + 11 * texture)
        lines += 32 * ridge(process, 0.0, hair)
        draw_nucleus(random, grey, np.maximum(wall.nucleus, 0.1 - deep), scale)
    # The lumen, and the endothelium that lines it.
    lining = wall.lumen + wall.lining
    _paint(grey, under * smoothstep(lining, -0.012, 0.012), GREY["endothelium"] + 10 * texture)
    lines += 26 * ridge(lining, 0.0, hair) * under
    if not wall.mesangial:
        draw_nucleus(random, grey, np.maximum(wall.nucleus, 0.16 - deep), scale)
        grey += 0
    web = np.abs(cloud(random, shape, 0.2 / scale, octaves=2))
    plasma = GREY["plasma"] - 62 * smoothstep(web, 0.22, 0.02) * smoothstep(
        cloud(random, shape, 0.8 / scale), -0.9, 0.6
    )
    blood = smoothstep(wall.lumen, -0.01, 0.01)
    _paint(grey, blood, plasma)
    lines += 40 * ridge(wall.lumen, 0.0, hair)
    if wall.red_cell is not None:
        _paint(grey, smoothstep(wall.red_cell, 0.012, -0.012) * blood, GREY["red cell"] + 2 * dense)
    grey -= lines * smoothstep(wall.above, 0.9, 0.8)

    # Deposits lie over what they displace.
    mottled = 5 * cloud(random, shape, 0.10 / scale, octaves=2)
    for site, body in enumerate((wall.subepithelial, wall.subendothelial, wall.mesangial_deposit), start=1):
        if body is None:
            continue
        ragged = body + 0.02 * cloud(random, shape, 0.12 / scale, octaves=2)
        _paint(grey, smoothstep(ragged, 0.035, -0.035) * 0.97, GREY["deposit"] + mottled)
        sites[ragged < 0] = site
    if plan.inclusions and wall.inclusion is not None:
        tubules = np.abs(cloud(random, shape, 0.055 / scale, octaves=1))
        pattern = np.where(tubules < 0.35, 52.0, 150.0).astype(np.float32)
        _paint(grey, smoothstep(wall.inclusion, 0.03, -0.03), cv2.GaussianBlur(pattern, (0, 0), 0.6))
