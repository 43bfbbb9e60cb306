"""A transmission electron micrograph of the glomerular capillary wall, with deposits at their sites."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from nephroscale_demo.micrograph import burn_in, develop
from nephroscale_demo.noise import Field, cloud, ridge, smoothstep, stream
from nephroscale_demo.wall import Frame, Wall, lay_out_wall

GREY = {
    "urine": 216.0,
    "plasma": 204.0,
    "membrane": 148.0,
    "podocyte": 92.0,
    "endothelium": 100.0,
    "matrix": 140.0,
    "mesangial cell": 108.0,
    "deposit": 40.0,
    "red cell": 58.0,
    "rarefied": 196.0,
}


@dataclass(frozen=True)
class MicrographPlan:
    """What a micrograph shows.

    Attributes
    ----------
    image_id
        Name of the image's random stream.
    seed
        Seed of the cohort.
    width, height
        Pixels, without the data strip.
    nm_per_px
        nm per pixel.
    view
        `loop` (a capillary loop) or `mesangium` (a lobule with its stalk).
    subepithelial
        Stage of subepithelial deposits: 0 none, 1 small without spikes, 2 with spikes between, 3 incorporated, 4
        resorbed, with lucent areas in a thick, irregular membrane.
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

    @property
    def deposit_sites(self) -> tuple[str, ...]:
        """Sites with deposits. Those of stage 4 are resorbed; the mesangium is seen in its own view alone."""
        present = {
            "mesangial": self.mesangial > 0 and self.view == "mesangium",
            "subepithelial": self.subepithelial in {1, 2, 3},
            "subendothelial": self.subendothelial > 0,
        }
        return tuple(site for site, seen in present.items() if seen)


@dataclass(frozen=True)
class Micrograph:
    """A generated micrograph and the sites of its deposits.

    Attributes
    ----------
    picture
        uint8 [rows, columns]: grey picture with the burned-in marks.
    sites
        uint8 [rows, columns]: 0 none, 1 subepithelial, 2 subendothelial, 3 mesangial.
    """

    picture: np.ndarray
    sites: np.ndarray


def generate_micrograph(plan: MicrographPlan) -> Micrograph:
    """Generate a micrograph.

    Parameters
    ----------
    plan
        What the micrograph shows.

    Returns
    -------
    The picture and the sites of its deposits.
    """
    random = stream(plan.seed, plan.image_id)
    shape = (plan.height, plan.width)
    scale = plan.nm_per_px / 1000
    y = np.repeat((np.arange(plan.height, dtype=np.float32) * np.float32(scale))[:, None], plan.width, axis=1)
    x = np.repeat((np.arange(plan.width, dtype=np.float32) * np.float32(scale))[None, :], plan.height, axis=0)
    frame = Frame(y, x, scale)
    walls = _lobules(random, plan, frame)

    grey = np.full(shape, GREY["urine"], np.float32)
    grey += 2.5 * cloud(random, shape, 0.5 / scale, octaves=2)
    sites = np.zeros(shape, np.uint8)
    textures = Textures.sample(random, shape, scale)
    _podocytes(random, grey, walls, textures, frame)
    for wall in walls:
        _render_lobule(random, grey, sites, wall, plan=plan, textures=textures)
    picture = develop(random, grey, plan.nm_per_px)
    picture = burn_in(picture, plan.nm_per_px, plan.magnification, plan.label, plan.style)
    full = np.zeros(picture.shape, np.uint8)
    full[: plan.height] = sites
    return Micrograph(picture, full)


def _lobules(random: np.random.Generator, plan: MicrographPlan, frame: Frame) -> list[Wall]:
    """Place the lobules: each a closed basement membrane."""
    height, width = plan.height * plan.nm_per_px / 1000, plan.width * plan.nm_per_px / 1000
    turn = random.uniform(0, 2 * np.pi)
    toward = np.array([np.sin(turn), np.cos(turn)])
    middle = np.array([height, width]) / 2
    walls = []
    if plan.view == "mesangium":
        radius = random.uniform(2.7, 3.3)
        walls.append(
            lay_out_wall(random, plan, frame, tuple(middle + toward * (radius - 1.75)), radius, mesangial=True)
        )
    else:
        radius = random.uniform(2.3, 3.4)
        offset = radius + random.uniform(-0.5, 0.1)
        walls.append(lay_out_wall(random, plan, frame, tuple(middle + toward * offset), radius, mesangial=False))
    if random.uniform() < 0.7:  # the neighbouring loop, across the urinary space
        other = random.uniform(2.0, 3.2)
        away = toward if plan.view == "loop" else toward * 1.2
        spot = middle - away * (other + random.uniform(1.1, 1.5))
        walls.append(lay_out_wall(random, plan, frame, tuple(spot), other, mesangial=False))
    return walls


def _paint(grey: Field, cover: Field, value: float | Field) -> None:
    """Cover part of the picture with a grey value."""
    grey += (value - grey) * cover


@dataclass(frozen=True)
class Textures:
    """Textures of one image, mean 0, shared by its structures.

    Attributes
    ----------
    scale
        µm per pixel.
    cytoplasm
        Ribosomes and membranes.
    lumps, fine
        Chromatin.
    fibres
        Mesangial matrix.
    dense
        Basement membrane and deposits.
    web
        Precipitated plasma.
    """

    scale: float
    cytoplasm: Field
    lumps: Field
    fine: Field
    fibres: Field
    dense: Field
    web: Field

    @classmethod
    def sample(cls, random: np.random.Generator, shape: tuple[int, int], scale: float) -> Textures:
        """Sample the textures of an image."""
        fine = cloud(random, shape, 0.055 / scale, octaves=2, gain=0.9)
        slow = cloud(random, shape, 0.4 / scale, octaves=2)
        return cls(
            scale=scale,
            cytoplasm=0.75 * fine + 0.5 * slow,
            lumps=cloud(random, shape, 0.9 / scale, octaves=2),
            fine=fine,
            fibres=cloud(random, shape, 0.25 / scale, octaves=2),
            dense=cloud(random, shape, 0.12 / scale, octaves=2),
            web=smoothstep(np.abs(cloud(random, shape, 0.2 / scale, octaves=2)), 0.22, 0.02)
            * smoothstep(cloud(random, shape, 0.8 / scale, octaves=1), -0.9, 0.6),
        )

    def hair(self, width: float = 0.011) -> float:
        """Width of a membrane's line, µm: never thinner than a pixel."""
        return max(width, 0.75 * self.scale)


def _podocytes(random: np.random.Generator, grey: Field, walls: list[Wall], textures: Textures, frame: Frame) -> None:
    """Render cell bodies of podocytes in the urinary space."""
    above = np.minimum.reduce([wall.above for wall in walls])
    spots = np.argwhere(above > 1.0)
    if len(spots) == 0 or random.uniform() < 0.25:
        return
    row, column = spots[random.integers(len(spots))] * textures.scale
    reach = np.hypot((frame.y - np.float32(row)) * np.float32(random.uniform(0.7, 1.4)), frame.x - np.float32(column))
    reach += 0.25 * cloud(random, grey.shape, 0.9 / textures.scale, octaves=2)
    body = np.maximum(reach - np.float32(random.uniform(0.8, 1.5)), 0.62 - above)
    _paint(grey, smoothstep(body, 0.012, -0.012), GREY["podocyte"] + 18 + 10 * textures.cytoplasm)
    _render_nucleus(grey, body + 0.32, textures)
    grey -= 55 * ridge(body, 0.0, textures.hair(0.012))


def _render_nucleus(grey: Field, body: Field, textures: Textures) -> None:
    """Render a nucleus where `body` (a signed distance, µm) is negative: pale inside, dark chromatin at its rim."""
    cover = smoothstep(body, 0.02, -0.02)
    rim = smoothstep(body, -0.28, -0.05) * smoothstep(textures.lumps, -1.2, 0.4)
    chromatin = np.maximum(rim, smoothstep(textures.lumps, 0.7, 1.3))
    _paint(grey, cover, 138 + 15 * textures.fine - chromatin * (46 + 8 * textures.fine))
    grey -= 38 * ridge(body, 0.0, textures.hair(0.012))


def _render_lobule(
    random: np.random.Generator,
    grey: Field,
    sites: np.ndarray,
    wall: Wall,
    *,
    plan: MicrographPlan,
    textures: Textures,
) -> None:
    """Render one lobule, from the foot processes inwards."""
    shape, scale, hair = grey.shape, textures.scale, textures.hair()
    lines = np.zeros(shape, np.float32)

    # Foot processes of the podocytes.
    feet = wall.above - wall.feet
    cover = smoothstep(feet, 0.012, -0.012) * smoothstep(wall.above, -0.02, 0.02)
    _paint(grey, cover, GREY["podocyte"] + 9 * textures.cytoplasm)
    lines += 30 * ridge(feet, 0.0, hair) * (wall.above > 0)

    # Everything inside the outer surface of the basement membrane.
    _paint(grey, smoothstep(wall.above, 0.012, -0.012), GREY["membrane"] + 4 * textures.dense)
    deep = wall.below
    under = smoothstep(deep, -0.012, 0.012)
    if wall.mesangial:
        _paint(grey, under, GREY["matrix"] + 9 * textures.fibres + 4 * textures.cytoplasm)
        process = cloud(random, shape, 0.75 / scale, octaves=2) + 1.1 * smoothstep(deep, 0.2, 1.4) - 0.75
        process = np.minimum(process * 0.35, deep - 0.12)
        _paint(grey, smoothstep(process, -0.012, 0.012), GREY["mesangial cell"] + 11 * textures.cytoplasm)
        lines += 32 * ridge(process, 0.0, hair)
        _render_nucleus(grey, np.maximum(wall.nucleus, 0.1 - deep), textures)
    if wall.rarefied is not None:  # resorbed deposits leave a lucent area with a grainy edge
        ragged = wall.rarefied + 0.03 * textures.dense
        _paint(grey, smoothstep(ragged, 0.03, -0.03) * 0.9, GREY["rarefied"] + 14 * textures.fine)
        lines += 18 * ridge(ragged, 0.0, 2 * hair)
    # The lumen, and the endothelium that lines it.
    lining = wall.lumen + wall.lining
    _paint(grey, under * smoothstep(lining, -0.012, 0.012), GREY["endothelium"] + 10 * textures.cytoplasm)
    lines += 26 * ridge(lining, 0.0, hair) * under
    if not wall.mesangial:
        _render_nucleus(grey, np.maximum(wall.nucleus, 0.16 - deep), textures)
    blood = smoothstep(wall.lumen, -0.01, 0.01)
    _paint(grey, blood, GREY["plasma"] - 62 * textures.web)
    lines += 40 * ridge(wall.lumen, 0.0, hair)
    if wall.red_cell is not None:
        _paint(grey, smoothstep(wall.red_cell, 0.012, -0.012) * blood, GREY["red cell"] + 4 * textures.dense)
    grey -= lines * smoothstep(wall.above, 0.9, 0.8)

    # Deposits cover the structures that they displace.
    for site, body in enumerate((wall.subepithelial, wall.subendothelial, wall.mesangial_deposit), start=1):
        if body is None:
            continue
        ragged = body + 0.02 * textures.dense
        _paint(grey, smoothstep(ragged, 0.035, -0.035) * 0.97, GREY["deposit"] + 5 * textures.dense)
        sites[ragged < 0] = site
    if plan.inclusions and wall.inclusion is not None:
        tubules = np.abs(cloud(random, shape, 0.055 / scale, octaves=1))
        pattern = np.where(tubules < 0.35, 52.0, 150.0).astype(np.float32)
        _paint(grey, smoothstep(wall.inclusion, 0.03, -0.03), cv2.GaussianBlur(pattern, (0, 0), 0.6))
