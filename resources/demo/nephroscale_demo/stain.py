"""From stain densities to colour: silver, counterstain and haematoxylin on glass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from nephroscale_demo.noise import Field


@dataclass
class Densities:
    """Optical densities of the three stains over one slide, float32 [rows, columns], 1 for a full stain.

    Attributes
    ----------
    silver
        Silver methenamine: basement membranes and mesangial matrix.
    counter
        Counterstain: cytoplasm, stroma.
    nuclear
        Haematoxylin: nuclei.
    """

    silver: Field
    counter: Field
    nuclear: Field

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> Densities:
        """Return bare glass."""
        return cls(np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.float32))


@dataclass(frozen=True)
class Recipe:
    """Colours of one laboratory.

    Attributes
    ----------
    glass
        Colour of bare glass, RGB, 0 to 255.
    silver, counter, nuclear
        Optical density of each stain at full strength, per RGB channel.
    """

    glass: tuple[float, float, float] = (244, 243, 240)
    silver: tuple[float, float, float] = (1.55, 1.62, 1.55)
    counter: tuple[float, float, float] = (0.10, 0.36, 0.22)
    nuclear: tuple[float, float, float] = (0.62, 0.66, 0.30)


# The same protocol in two laboratories: north counterstains with eosin; south has paler sections with some light green.
LABORATORIES = {
    "north": Recipe(),
    "south": Recipe(
        glass=(240, 243, 241),
        silver=(1.36, 1.38, 1.46),
        counter=(0.40, 0.18, 0.27),
        nuclear=(0.60, 0.58, 0.36),
    ),
}


def colour(densities: Densities, recipe: Recipe, vary: np.ndarray) -> np.ndarray:
    """Turn stain densities into an RGB picture by the law of Beer and Lambert.

    Parameters
    ----------
    densities
        The stains.
    recipe
        The laboratory's colours.
    vary
        Strength of silver, counterstain and haematoxylin on this slide, each about 1.

    Returns
    -------
    uint8 [rows, columns, 3].
    """
    picture = np.empty((*densities.silver.shape, 3), np.uint8)
    for channel in range(3):
        total = cv2.addWeighted(
            densities.silver,
            -recipe.silver[channel] * float(vary[0]),
            densities.counter,
            -recipe.counter[channel] * float(vary[1]),
            0.0,
        )
        cv2.scaleAdd(densities.nuclear, -recipe.nuclear[channel] * float(vary[2]), total, total)
        cv2.exp(total, total)
        picture[..., channel] = cv2.convertScaleAbs(total, alpha=recipe.glass[channel])
    return picture
