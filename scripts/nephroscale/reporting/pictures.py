"""Pictures embedded in the page, with a scale bar where the scale is known."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from nephroscale.arrays import read_array, read_attributes
from nephroscale.errors import NephroscaleError
from nephroscale.glomeruli.crops import to_display
from nephroscale.slides.tile_reader import open_tiles

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nephroscale.evaluation.tables import InstanceWeight
    from nephroscale.reporting.report_inputs import SlidePicture

TISSUE = (40, 122, 160)
_BAR_LENGTHS = tuple(factor * 10**power for power in range(-2, 6) for factor in (1, 2, 5))


class ScaleBar(NamedTuple):
    """Scale bar of a picture: `percent` of its width, `label`, and `tone`, `dark` on a bright corner, else `light`."""

    percent: float
    label: str
    tone: str


class SlideCard(NamedTuple):
    """A slide on the page.

    `picture` is a data URI; `outlined` is whether the glomeruli are outlined, `tissue` whether the tissue is.
    """

    image_id: str
    patient_id: str
    outlined: bool
    tissue: bool
    picture: str
    width: int
    height: int
    bar: ScaleBar | None
    glomeruli: int | None


class CropCard(NamedTuple):
    """A crop of a glomerulus: `number` is its rank on the slide's outlines, `picture` a data URI."""

    number: int
    score: float
    picture: str
    bar: ScaleBar | None


class TemCard(NamedTuple):
    """A TEM image on the page; `status` is `kept`, `dropped` or `not drawn`, `picture` is a data URI."""

    image_id: str
    picture: str
    status: str
    centre: bool
    weight: float | None
    distance: float | None
    bar: ScaleBar | None


def to_data_uri(image: np.ndarray, quality: int = 86) -> str:
    """Encode an image, [h, w] or [h, w, 3] uint8 RGB, as a JPEG data URI."""
    ordered = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    _, encoded = cv2.imencode(".jpg", ordered, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()


def scale_bar(picture: np.ndarray, per_px: float, unit: str) -> ScaleBar:
    """Choose a scale bar of a round length, at most 24 % of the picture's width.

    Parameters
    ----------
    picture
        [h, w] or [h, w, 3] uint8; the bar is drawn in the lower left corner.
    per_px
        Width of a pixel, µm or nm.
    unit
        `um` or `nm`.
    """
    field = picture.shape[1] * per_px
    length = max((bar for bar in _BAR_LENGTHS if bar <= field * 0.24), default=_BAR_LENGTHS[0])
    larger = {"um": "mm", "nm": "µm"}
    label = f"{length / 1000:g} {larger[unit]}" if length >= 1000 else f"{length:g} {'µm' if unit == 'um' else 'nm'}"
    corner = picture[-max(1, picture.shape[0] // 4) :, : max(1, picture.shape[1] // 4)]
    return ScaleBar(round(100 * length / field, 3), label, "dark" if corner.mean() > 150 else "light")


def read_picture(path: Path, longest: int) -> tuple[np.ndarray, float]:
    """Read a picture and shrink its longer side to at most `longest` pixels.

    Returns
    -------
    tuple
        [h, w, 3] uint8 RGB, and the factor by which it was shrunk.

    Raises
    ------
    NephroscaleError
        When the file cannot be read.
    """
    found = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if found is None:
        raise NephroscaleError("This picture cannot be read.", where=path.name, fix="Run its stage again.")
    image = cv2.cvtColor(found, cv2.COLOR_BGR2RGB)
    factor = max(1.0, max(image.shape[:2]) / longest)
    if factor > 1:
        size = max(1, round(image.shape[1] / factor)), max(1, round(image.shape[0] / factor))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return image, factor


def outline_tissue(picture: np.ndarray, status: np.ndarray, cells: tuple[float, float], colour: Sequence[int]) -> None:
    """Draw the outline of the tissue tiles on a picture of the whole slide.

    Parameters
    ----------
    picture
        [h, w, 3] uint8, changed in place.
    status
        [rows, columns] status of the tiles; 1 is tissue.
    cells
        Height and width of the slide in tiles; tiles at the border may be cut.
    colour
        R, G, B.
    """
    height, width = picture.shape[:2]
    down = np.minimum((np.arange(height) + 0.5) * cells[0] / height, len(status) - 1).astype(int)
    across = np.minimum((np.arange(width) + 0.5) * cells[1] / width, status.shape[1] - 1).astype(int)
    mask = (status[np.ix_(down, across)] == 1).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, [int(v) for v in colour], 1, cv2.LINE_8)


def slide_card(slide: SlidePicture, longest: int = 900) -> SlideCard:
    """Prepare a slide's overlay, or its thumbnail if there is none, for the page.

    Parameters
    ----------
    slide
        Pictures of the slide.
    longest
        Longer side of the picture on the page, pixels.
    """
    image, factor = read_picture(slide.overlay or slide.thumbnail, longest)
    if slide.tiles and slide.overlay:
        opened = open_tiles(slide.tiles)
        _, high, wide = opened.shape(0)
        outline_tissue(image, opened.status, (high / opened.tile_px, wide / opened.tile_px), TISSUE)
    return SlideCard(
        image_id=slide.image_id,
        patient_id=slide.patient_id,
        outlined=slide.overlay is not None,
        tissue=bool(slide.tiles and slide.overlay),
        picture=to_data_uri(image),
        width=image.shape[1],
        height=image.shape[0],
        bar=scale_bar(image, float(slide.mpp) * factor, "um") if slide.mpp else None,
        glomeruli=slide.glomeruli,
    )


def crop_cards(crops: Path, most: int = 24) -> list[CropCard]:
    """Prepare the crops of a slide's glomeruli for the page, the representative one first.

    Parameters
    ----------
    crops
        Zarr group `crops` of the stage `glomeruli`.
    most
        Largest number of crops.
    """
    pictures, scores = (read_array(crops, name)[:most] for name in ("crops", "score"))
    um = read_attributes(crops)["um_per_px"]
    shown = (to_display(np.asarray(crop)) for crop in pictures)
    return [
        CropCard(
            number, round(float(score), 3), to_data_uri(picture), scale_bar(picture, float(um), "um") if um else None
        )
        for number, (picture, score) in enumerate(zip(shown, scores, strict=True), 1)
    ]


def tem_cards(bag: Path, instances: Sequence[InstanceWeight], longest: int = 168) -> list[TemCard]:
    """Prepare a patient's TEM images for the page: kept images by weight, then dropped ones, then those not drawn.

    Parameters
    ----------
    bag
        Object of the stage `tem`. If it holds several patches of an image, the first one is shown.
    instances
        Weights of the patient's TEM images.
    longest
        Longer side of a picture on the page, pixels.
    """
    images, image, valid, scale = (read_array(bag, name) for name in ("images", "image", "valid", "nm_per_px"))
    weights = {row.image_id: row for row in instances}
    cards = []
    for number, name in enumerate(map(str, read_attributes(bag)["images"])):
        members = np.flatnonzero(np.asarray(image) == number)
        if not len(members):
            continue
        y, x, height, width = (int(v) for v in valid[members[0]])
        picture = np.ascontiguousarray(images[members[0], y : y + height, x : x + width])
        row, nm = weights.get(name), float(scale[members[0]])
        bar = scale_bar(picture, nm, "nm") if np.isfinite(nm) and nm > 0 else None
        factor = max(picture.shape) / longest
        if factor > 1:
            size = max(1, round(width / factor)), max(1, round(height / factor))
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        cards.append(
            TemCard(
                image_id=name,
                picture=to_data_uri(picture, 82),
                status="not drawn" if row is None else "kept" if row.kept else "dropped",
                centre=bool(row and row.centre),
                weight=row.weight if row else None,
                distance=row.distance if row else None,
                bar=bar,
            )
        )
    order = {"kept": 0, "dropped": 1, "not drawn": 2}
    return sorted(cards, key=lambda c: (order[c.status], not c.centre, -(c.weight or 0), c.distance or 0))
