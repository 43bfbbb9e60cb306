"""Where the plain network sees deposits, against outlines that people (or a generator) drew."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from nephroscale.arrays import read_array, read_attributes
from nephroscale.deposits.predictions import HEAT
from nephroscale.errors import NephroscaleError


@dataclass(frozen=True)
class Heat:
    """Where the network looks in one image.

    Attributes
    ----------
    maps
        float [k, g, g], one for each instance.
    box
        int [k, 4]: y, x, height, width of each instance in pixels of the raw image.
    valid
        float [k, 4]: y, x, height, width of the part of each instance that is image, as fractions of its side.
    """

    maps: np.ndarray
    box: np.ndarray
    valid: np.ndarray

    def cells(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Give the cells within the image: centres [m, 2] (x, y in raw pixels), heat [m], and side in raw pixels."""
        grid = self.maps.shape[1]
        middle = (np.arange(grid) + 0.5) / grid
        centres, heat = [], []
        for maps, box, valid in zip(self.maps, self.box, self.valid, strict=True):
            down, right = ((middle - valid[axis]) / valid[axis + 2] for axis in (0, 1))
            y, x = np.meshgrid(down, right, indexing="ij")
            inside = (y >= 0) & (y < 1) & (x >= 0) & (x < 1)
            centres.append(np.stack([box[1] + x[inside] * box[3], box[0] + y[inside] * box[2]], axis=1))
            heat.append(maps[inside])
        side = float(self.box[0, 2]) / (grid * float(self.valid[0, 2]))
        return np.concatenate(centres), np.concatenate(heat), side


@dataclass(frozen=True)
class Localised:
    """How well the heat of one image agrees with its outlines.

    Attributes
    ----------
    hit
        Pointing game: whether the hottest cell touches an outline.
    hit_by_chance
        Share of the image's cells that touch one.
    precision
        Average precision of the heat of cells against whether their centre is inside an outline.
    precision_by_chance
        Share of the cells whose centre is.
    """

    hit: bool
    hit_by_chance: float
    precision: float
    precision_by_chance: float


def read_heat(folder: Path) -> dict[str, Heat]:
    """Read image id to heat, of one fold's test side."""
    path = folder / HEAT
    if not path.exists():
        return {}
    maps, owner, box, valid = (np.asarray(read_array(path, name)) for name in ("heat", "image", "box", "valid"))
    return {
        str(name): Heat(maps[owner == i].astype(np.float32), box[owner == i], valid[owner == i])
        for i, name in enumerate(read_attributes(path)["images"])
    }


def read_deposit_outlines(path: Path) -> Any:
    """Read all outlines of a GeoJSON file as one geometry, in pixels of the raw image.

    Raises
    ------
    NephroscaleError
        When it is not GeoJSON of polygons.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        features = content["features"] if isinstance(content, dict) else content
        shapes = [shapely.make_valid(shapely.geometry.shape(feature["geometry"])) for feature in features]
    except (ValueError, KeyError, TypeError, AttributeError, shapely.errors.ShapelyError) as fault:
        raise NephroscaleError(
            f"The outlines of deposits cannot be read ({fault}).",
            where=path.name,
            fix="Export them as GeoJSON (from QuPath: File, Export objects as GeoJSON).",
        ) from fault
    return shapely.union_all([shape for shape in shapes if shape.area > 0])


def localise(heat: Heat, outlines: Any) -> Localised | None:
    """Compare the heat of an image with its outlines; None where no cell's centre is inside one.

    References
    ----------
    Zhang J et al. Top-down neural attention by excitation backprop. IJCV 2018 (pointing game).
    """
    from sklearn.metrics import average_precision_score

    centres, values, side = heat.cells()
    points = shapely.points(centres)
    inside = shapely.contains(outlines, points)
    if not inside.any():
        return None
    touching = shapely.distance(outlines, points) <= side / np.sqrt(2)
    return Localised(
        hit=bool(touching[int(np.argmax(values))]),
        hit_by_chance=float(touching.mean()),
        precision=float(average_precision_score(inside, values)),
        precision_by_chance=float(inside.mean()),
    )
