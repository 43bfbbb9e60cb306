"""A contact sheet: thumbnails of all slides, with outlines of tissue, pens, folds and bubbles, and quality figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from nephroscale.html import template_environment
from nephroscale.reporting.pictures import TISSUE, read_picture, to_data_uri
from nephroscale.reporting.report_inputs import ListedImage

TEMPLATES = Path(__file__).parent / "templates"
LONGEST_PX = 320
PAGE = 24
PEN, FOLD, BUBBLE = (200, 0, 140), (0, 70, 220), (0, 120, 90)
PEN_LEVEL, FOLD_LEVEL, BUBBLE_LEVEL = 128, 192, 224  # grey levels of `mask.png`; tissue is brighter than pen marks
CLIPPED_SHARE = 0.01  # of a slide's tissue, from which on the figure is marked
BLURRED_SHARE = 0.25  # of a slide's tiles, from which on the figure is marked


class QualityFigure(NamedTuple):
    """A quality figure of a slide; `marked` where somebody should look."""

    text: str
    marked: bool = False


class SheetCard(NamedTuple):
    """A slide on the sheet; `picture` is a data URI, `channel` the stain or marker."""

    image_id: str
    patient_id: str
    channel: str
    picture: str
    width: int
    height: int
    figures: list[QualityFigure]


def write_contact_sheet(path: Path, title: str, tiles: Mapping[str, Path], images: Mapping[str, ListedImage]) -> None:
    """Write the sheet as one HTML file without scripts.

    Parameters
    ----------
    path
        File to write.
    title
        Title of the study.
    tiles
        Image id to the object of the stage `tiles`.
    images
        Image id to what the tables have about it.
    """
    cards = [_card(name, tiles[name], images[name]) for name in sorted(tiles)]
    pages = [cards[start : start + PAGE] for start in range(0, len(cards), PAGE)]
    page = template_environment(TEMPLATES).get_template("contact_sheet.html.j2").render(title=title, pages=pages)
    path.write_text(page + "\n", encoding="utf-8")


def _card(name: str, tiles: Path, image: ListedImage) -> SheetCard:
    picture, _ = read_picture(tiles / "thumbnail.png", LONGEST_PX)
    mask = cv2.imread(str(tiles / "mask.png"), cv2.IMREAD_GRAYSCALE)
    if mask is not None:
        mask = cv2.resize(mask, picture.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        parts = ((PEN_LEVEL, PEN), (FOLD_LEVEL, FOLD), (BUBBLE_LEVEL, BUBBLE))
        for area, colour in ((mask > PEN_LEVEL, TISSUE), *((mask == level, colour) for level, colour in parts)):
            contours, _ = cv2.findContours(area.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(picture, contours, -1, colour, 1, cv2.LINE_8)
    figures = _figures(tiles / "qc.json")
    return SheetCard(name, image.case, image.channel, to_data_uri(picture), picture.shape[1], picture.shape[0], figures)


def _figures(path: Path) -> list[QualityFigure]:
    quality = json.loads(path.read_text(encoding="utf-8"))
    area, blurred, pen = quality["tissue_mm2"], quality["blurred_share"], quality["pen_share"]
    names = ("fold", "bubble", "clipped", "saturated")
    folds, bubbles, clipped, saturated = (quality.get(f"{name}_share") for name in names)
    method, fallback = quality.get("normalisation"), quality.get("normalisation_fallback")
    used = "not normalised" if method == "identity" else f"normalised by {str(method).capitalize()}"
    figures = [
        QualityFigure(f"{quality['tiles']} tiles" + ("" if area is None else f", {area:.3g} mm²")),
        QualityFigure(f"focus {quality['focus_median']:.2f}, {_percent(blurred)} blurred", blurred >= BLURRED_SHARE),
        QualityFigure(f"pen on {_percent(pen)}", True) if pen else None,
        QualityFigure(f"folds on {_percent(folds)} of the tissue", True) if folds else None,
        QualityFigure(f"bubbles on {_percent(bubbles)} of the tissue", True) if bubbles else None,
        None
        if clipped is None
        else QualityFigure(f"{_percent(clipped)} of the tissue clipped", clipped > CLIPPED_SHARE),
        QualityFigure(f"{quality['left_out']} tiles left out", True) if quality["left_out"] else None,
        QualityFigure(f"{quality['unreadable_tiles']} tiles unreadable", True) if quality["unreadable_tiles"] else None,
        QualityFigure(f"{used} ({fallback})" if fallback else used, bool(fallback)) if method else None,
        None
        if saturated is None
        else QualityFigure(f"{quality['calibration']}, {_percent(saturated)} saturated", saturated > 0.01),
    ]
    return [figure for figure in figures if figure]


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 1 else "100 %"
