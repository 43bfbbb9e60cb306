"""Pictures for the page: small, inside the page, and with a scale bar where the scale is known."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from nephroscale.arrays import read_array, read_attributes
from nephroscale.errors import NephroscaleError
from nephroscale.slides.tile_reader import open_tiles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TISSUE = (40, 122, 160)
_BAR_LENGTHS = tuple(factor * 10**power for power in range(-2, 6) for factor in (1, 2, 5))


def to_data_uri(image: np.ndarray, quality: int = 86) -> str:
    """Encode an image, [h, w] or [h, w, 3] uint8 RGB, as a JPEG data URI."""
    ordered = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    _, encoded = cv2.imencode(".jpg", ordered, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()


def scale_bar(picture: np.ndarray, per_px: float, unit: str) -> dict[str, Any]:
    """Choose a scale bar of a round length, about a fifth of the picture's width.

    Parameters
    ----------
    picture
        [h, w] or [h, w, 3] uint8, on whose lower left corner the bar comes.
    per_px
        Length of a pixel, µm or nm.
    unit
        `um` or `nm`.

    Returns
    -------
    dict
        `percent` of the width, `label`, and `tone`: `dark` where the corner is bright, else `light`.
    """
    field = picture.shape[1] * per_px
    length = max((bar for bar in _BAR_LENGTHS if bar <= field * 0.24), default=_BAR_LENGTHS[0])
    larger = {"um": "mm", "nm": "µm"}
    label = f"{length / 1000:g} {larger[unit]}" if length >= 1000 else f"{length:g} {'µm' if unit == 'um' else 'nm'}"
    corner = picture[-max(1, picture.shape[0] // 4) :, : max(1, picture.shape[1] // 4)]
    return {
        "percent": round(100 * length / field, 3),
        "label": label,
        "tone": "dark" if corner.mean() > 150 else "light",
    }


def read_picture(path: Path, longest: int) -> tuple[np.ndarray, float]:
    """Read a picture and shrink it so that its longer side is at most `longest` pixels.

    Returns
    -------
    tuple
        [h, w, 3] uint8 RGB, and how many of its pixels one pixel now stands for.

    Raises
    ------
    NephroscaleError
        When it cannot be read.
    """
    found = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if found is None:
        raise NephroscaleError("This picture cannot be read.", where=path.name, todo="Make its stage again.")
    image = cv2.cvtColor(found, cv2.COLOR_BGR2RGB)
    factor = max(1.0, max(image.shape[:2]) / longest)
    if factor > 1:
        size = max(1, round(image.shape[1] / factor)), max(1, round(image.shape[0] / factor))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return image, factor


def outline_tissue(picture: np.ndarray, status: np.ndarray, cells: tuple[float, float], colour: Sequence[int]) -> None:
    """Draw the border of the tissue's tiles into a picture of the whole slide.

    Parameters
    ----------
    picture
        [h, w, 3] uint8, changed in place.
    status
        [rows, columns] of the tiles: 1 where there is tissue.
    cells
        Height and width of the slide in tiles; the last ones may be cut by the border.
    colour
        R, G, B.
    """
    height, width = picture.shape[:2]
    down = np.minimum((np.arange(height) + 0.5) * cells[0] / height, len(status) - 1).astype(int)
    across = np.minimum((np.arange(width) + 0.5) * cells[1] / width, status.shape[1] - 1).astype(int)
    mask = (status[np.ix_(down, across)] == 1).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, [int(v) for v in colour], 1, cv2.LINE_8)


def slide_card(slide: Mapping[str, Any], longest: int = 900) -> dict[str, Any]:
    """Turn a slide's overlay, or else its thumbnail, into a card of the page.

    Parameters
    ----------
    slide
        `image_id`, `patient_id`, `thumbnail`, `overlay` (or None), `figures`; `tiles`, the slide's tiles, where the
        tissue is to be outlined on the overlay; `mpp`, µm per pixel of the picture, where a scale bar is to be drawn.
    longest
        Longer side of the picture, pixels.

    Returns
    -------
    dict
        What the template needs.
    """
    image, factor = read_picture(slide["overlay"] or slide["thumbnail"], longest)
    mpp, tiles = slide.get("mpp"), slide.get("tiles")
    if tiles and slide["overlay"]:
        opened = open_tiles(tiles)
        _, high, wide = opened.shape(0)
        outline_tissue(image, opened.status, (high / opened.tile_px, wide / opened.tile_px), TISSUE)
    return {
        "image_id": slide["image_id"],
        "patient_id": slide["patient_id"],
        "outlined": slide["overlay"] is not None,
        "tissue": bool(tiles and slide["overlay"]),
        "picture": to_data_uri(image),
        "width": image.shape[1],
        "height": image.shape[0],
        "bar": scale_bar(image, float(mpp) * factor, "um") if mpp else None,
        "glomeruli": slide["figures"].get("glomeruli"),
    }


def tem_tiles(bag: Path, instances: list[dict[str, Any]], longest: int = 168) -> list[dict[str, Any]]:
    """Turn a patient's TEM bag into tiles of the page: kept by weight, then dropped, then not drawn.

    Parameters
    ----------
    bag
        Object of `tem`.
    instances
        The patient's rows of `instances.csv`.
    longest
        Side of a tile's picture, pixels.

    Returns
    -------
    list of dict
        `image_id`, `picture`, `status` (`kept`, `dropped`, `not drawn`), `centre`, `weight`, `distance`, `bar`. Where
        the bag holds several patches of an image, the first one stands for it.
    """
    names = [str(name) for name in read_attributes(bag)["images"]]
    images, image, valid, scale = (read_array(bag, name) for name in ("images", "image", "valid", "nm_per_px"))
    judged = {row["image_id"]: row for row in instances}
    tiles = []
    for number, name in enumerate(names):
        members = np.flatnonzero(np.asarray(image) == number)
        if not len(members):
            continue
        y, x, height, width = (int(v) for v in valid[members[0]])
        picture = np.ascontiguousarray(images[members[0], y : y + height, x : x + width])
        row, nm = judged.get(name), float(scale[members[0]])
        bar = scale_bar(picture, nm, "nm") if np.isfinite(nm) and nm > 0 else None
        factor = max(picture.shape) / longest
        if factor > 1:
            size = max(1, round(width / factor)), max(1, round(height / factor))
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        tiles.append(
            {
                "image_id": name,
                "picture": to_data_uri(picture, 82),
                "status": "not drawn" if row is None else "kept" if row["kept"] else "dropped",
                "centre": bool(row and row["centre"]),
                "weight": row["weight"] if row else None,
                "distance": row["distance"] if row else None,
                "bar": bar,
            }
        )
    order = {"kept": 0, "dropped": 1, "not drawn": 2}
    return sorted(tiles, key=lambda t: (order[t["status"]], not t["centre"], -(t["weight"] or 0), t["distance"] or 0))
