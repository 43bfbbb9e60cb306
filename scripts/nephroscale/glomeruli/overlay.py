"""A thumbnail of a slide with outlined glomeruli."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nephroscale.glomeruli.crops import to_display
from nephroscale.glomeruli.tile_view import TileView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nephroscale.glomeruli.contours import Glomerulus
    from nephroscale.slides.tile_reader import Tiles

SIDE_PX = 1200  # longer side of the thumbnail
Colour = tuple[int, int, int]

ROUND_LENGTHS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)  # of the scale bar, µm
BEST, OTHER = (220, 30, 60), (255, 176, 0)  # colours of the representative glomerulus and of the others
BEST_DARK, OTHER_DARK = (255, 90, 120), (255, 220, 90)
SCLEROSED = (70, 90, 230)


def draw_overlay(tiles: Tiles, glomeruli: Sequence[Glomerulus], path: Path) -> None:
    """Draw a thumbnail with contours, their ranks and scores, and a scale bar.

    Parameters
    ----------
    tiles
        Opened tiles.
    glomeruli
        The representative one first.
    path
        PNG to write; equal input gives equal bytes.
    """
    _, height, width = tiles.shape(0)
    view = TileView(tiles, max(0.5, max(height, width) / SIDE_PX))
    picture = np.ascontiguousarray(to_display(view.whole()))
    best, other = (BEST, OTHER) if view.bright else (BEST_DARK, OTHER_DARK)
    thick = max(2, round(max(picture.shape[:2]) / 480))
    for index, one in reversed(list(enumerate(glomeruli))):
        points = view.from_raw(np.asarray(one.polygon.exterior.coords)[:, :2])
        line = np.rint((points - 0.5) * 16).astype(np.int32)
        cv2.polylines(
            picture,
            [line],
            isClosed=True,
            color=SCLEROSED if one.is_sclerosed else best if index == 0 else other,
            thickness=thick,
            lineType=cv2.LINE_AA,
            shift=4,
        )
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    # The default font of Pillow has no µ; the one in matplotlib has.
    face = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    font = ImageFont.truetype(face, max(11, round(max(picture.shape[:2]) / 70)))
    ground, ink = ((255, 255, 255), (20, 20, 20)) if view.bright else ((0, 0, 0), (255, 255, 255))
    for index, one in enumerate(glomeruli):
        left, top, right, bottom = one.polygon.bounds
        (x, above), (_, below) = view.from_raw(np.array([[(left + right) / 2, top], [left, bottom]]))
        room = above > 1.6 * font.size
        place, anchor = ((x, above - 0.3 * font.size), "md") if room else ((x, below + 0.3 * font.size), "ma")
        text = f"{index + 1} · {one.score:.2f}"
        pen.text(place, text, fill=ink, font=font, anchor=anchor, stroke_width=2, stroke_fill=ground)
    if view.mpp is not None:
        _draw_scale_bar(image, view.mpp, font, ground, ink)
    image.save(path, optimize=False, compress_level=1)  # 5 % longer than by level 6, in a third of the time


def _draw_scale_bar(image: Image.Image, mpp: float, font: ImageFont.FreeTypeFont, ground: Colour, ink: Colour) -> None:
    wanted = image.width * mpp / 6
    length = max((length for length in ROUND_LENGTHS if length <= wanted), default=ROUND_LENGTHS[0])
    pixels = round(length / mpp)
    text = f"{length} µm" if length < 1000 else f"{length // 1000} mm"
    pen = ImageDraw.Draw(image)
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    tall, wide = bottom - top, right - left
    bar = max(3, image.width // 300)
    pad = max(6, tall // 2)
    box_w, box_h = max(pixels, wide) + 2 * pad, tall + bar + 3 * pad
    x, y = image.width - box_w - pad, image.height - box_h - pad
    pen.rounded_rectangle([x, y, x + box_w, y + box_h], radius=pad // 2, fill=ground)
    middle = x + box_w / 2
    pen.text((middle, y + pad), text, fill=ink, font=font, anchor="mt")
    start = round(middle - pixels / 2)
    pen.rectangle([start, y + 2 * pad + tall, start + pixels - 1, y + 2 * pad + tall + bar - 1], fill=ink)
