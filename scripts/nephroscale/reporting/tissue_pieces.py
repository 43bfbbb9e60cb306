"""Glomeruli by piece of tissue: serial sections on one slide show the same glomeruli again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from nephroscale.arrays import read_array
from nephroscale.slides.tile_reader import open_tiles
from nephroscale.slides.tile_status import TileStatus

if TYPE_CHECKING:
    from pathlib import Path


def count_by_piece(tiles: Path, crops: Path) -> list[int]:
    """Count the glomeruli of each piece of tissue, the fullest first; pieces without one are left out.

    Parameters
    ----------
    tiles
        Object of the stage `tiles`.
    crops
        Zarr group `crops` of the stage `glomeruli`.
    """
    opened = open_tiles(tiles)
    centres = np.asarray(read_array(crops, "centre"), np.float64).reshape(-1, 2)
    columns, rows = ((centres - np.asarray(opened.origin)) / opened.scale / opened.tile_px).T
    return count_in_pieces(opened.status == TileStatus.TISSUE, rows, columns)


def count_in_pieces(tissue: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> list[int]:
    """Count points in the connected pieces of a mask, the fullest first.

    Parameters
    ----------
    tissue
        [rows, columns] bool; tiles that touch at a corner are connected.
    rows, columns
        [n] position of each point in tiles. A point beside the tissue belongs to the nearest tile of tissue.
    """
    _, pieces = cv2.connectedComponents(tissue.astype(np.uint8), connectivity=8)
    places = np.argwhere(tissue)
    if not len(places):
        return [len(rows)] if len(rows) else []
    found = []
    for row, column in zip(rows, columns, strict=True):
        nearest = places[np.square(places + 0.5 - (row, column)).sum(axis=1).argmin()]
        found.append(pieces[tuple(nearest)])
    return sorted(np.unique(found, return_counts=True)[1].tolist(), reverse=True) if found else []
