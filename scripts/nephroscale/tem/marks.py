"""Find burned-in scale bars, labels, arrows and data strips of TEM images.

A model could identify the microscope, the operator or the patient by a label. Burned-in marks were drawn, not imaged:
their grey levels are even, without noise, and jump at their edges within a pixel or two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from nephroscale.tem.lines import find_lines
from nephroscale.tem.pure import find_pure_shapes
from nephroscale.tem.screen import PALE_END, Levels, find_even, find_parts
from nephroscale.tem.shapes import dilated, is_thin, label_shapes, spread_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Glyph = tuple[int, int, int, int, int]  # y, x, height, width, tone (0 white, 1 black)

WHITE, BLACK = 244, 11  # after JPEG, levels of letters drawn in white and in black
LEVELS = (250, 241, 230)  # thresholds for white bars and boxes on bright tissue; 255 minus these for black ones
PALE, DUSKY = 200, 55  # levels of the anti-aliased edges of white and of black letters
LEAST_BAR_SATURATED = 48  # pixels; a shorter bar on tissue as white or black can be a membrane
STEP, STEP_SATURATED = 45, 90  # levels at the edge of a letter; of one on tissue as white or black
MAX_STRIP = 0.3  # height of a data strip, as a fraction of the image
ROUGH = 0.6  # spread beside a drawn shape, as a share of the median spread
LEAST_EVEN = 12  # pixels of a shape that are even with all neighbours
LEAST_EVEN_GREY = 80  # the same of a shape that differs from the tissue by its evenness alone, or not by its level
JUMP = 30  # grey levels
SHARP = 0.85  # step at the edge of a drawn shape two pixels outside it, as a share of the whole step
ALL_AROUND = 0.85  # share of the pixels round a shape
FLAT = 6  # grey levels around that of a data strip that belong to it


def find_strips(image: np.ndarray) -> tuple[int, int]:
    """Find the rows between full-width data strips at the top and bottom.

    A strip is a run of rows at the border with at least half of the pixels at one grey level. It ends within a few rows
    over the whole width.

    Parameters
    ----------
    image
        uint8 [h, w].

    Returns
    -------
    tuple of int
        First row of the picture and the row after its last; (0, h) without strip.
    """
    return _strip_rows(image), image.shape[0] - _strip_rows(image[::-1])


def _strip_rows(image: np.ndarray) -> int:
    """Count the rows of a strip that starts at row 0."""
    height = image.shape[0]
    limit = int(height * MAX_STRIP)
    head = image[: limit + 8]
    edge = max(3, height // 200)
    level = int(np.bincount(head[: 3 * edge].ravel(), minlength=256).argmax())
    if not (_near(head[: edge + 1], level).mean(axis=1) >= 0.5).any():
        return 0
    near = _near(head, level)
    share = near.mean(axis=1)
    rows = np.flatnonzero(share >= 0.5)
    # Dense text or a ruled line may interrupt the run; the picture ends it.
    gaps = np.flatnonzero(np.diff(rows) > edge + 1)
    end = int(rows[gaps[0]] if gaps.size else rows[-1]) + 1
    if end < max(6, height // 80) or end > limit:
        return 0
    flat = head[:end][near[:end]].astype(np.float32)
    beyond = share[end + 1 : end + 1 + edge]
    # A saturated lumen at the border is flat too, but its border is not a straight row.
    sharp = beyond.size > 0 and share[max(0, end - edge) : end].max() - beyond.max() >= 0.35
    if float(flat.std()) > 2.5 or not sharp:
        return 0
    # The line between strip and picture, and ringing of JPEG, belong to the strip.
    for row in range(end, min(end + edge, head.shape[0])):
        line = head[row]
        if (line >= WHITE).mean() > 0.9 or (line <= BLACK).mean() > 0.9:
            end = row + 1
    return int(min(end + max(1, edge // 3), height))


def _near(image: np.ndarray, level: int) -> np.ndarray:
    near: np.ndarray = cv2.absdiff(image, np.full_like(image, level)) <= FLAT
    return near


def find_marks(image: np.ndarray) -> np.ndarray:
    """Find scale bars, opaque labels and text drawn on a TEM image.

    Parameters
    ----------
    image
        uint8 [h, w] without data strips.

    Returns
    -------
    numpy.ndarray
        bool [h, w], dilated to include the blurred edges of the marks.
    """
    levels = Levels(image)
    mask = np.zeros(image.shape, bool)
    drawn = _Drawn([], [], [])
    for rows, columns in find_parts(levels):
        found = _find_in_part(image[rows, columns], (rows.start or 0, columns.start or 0), levels, drawn)
        mask[rows, columns] |= found
    mask |= find_lines(levels)
    glyphs, letters, bars = drawn.glyphs, drawn.letters, drawn.bars
    for y, x, h, w, tone in _text(glyphs, letters, bars, image.shape):
        mask[y : y + h, x : x + w] |= _strokes(image[y : y + h, x : x + w], tone)
    for (y, x, h, w), tone in _label_lines(glyphs, bars):
        rows, columns = slice(max(0, y), y + h), slice(max(0, x), x + w)
        mask[rows, columns] |= _strokes(image[rows, columns], tone)
    return dilated(mask, max(2, round(0.002 * max(image.shape)))) if mask.any() else mask


@dataclass(frozen=True)
class _Drawn:
    """What the parts of an image have: bars, shapes that can be letters, and those of them that are no tissue."""

    bars: list[Glyph]
    glyphs: list[Glyph]
    letters: list[Glyph]


def _find_in_part(image: np.ndarray, corner: tuple[int, int], levels: Levels, drawn: _Drawn) -> np.ndarray:
    """Find bars, boxes, and shapes that are marks by themselves in a part of an image: bool [h, w].

    Bars and what can be letters are appended to `drawn`, at their places in the image.
    """
    top, left = corner
    height, width = levels.image.shape
    pure = find_pure_shapes(image, levels)
    mask = pure.copy()
    tallest = 0.05 * height + 12

    def may_be_glyph(h: np.ndarray, w: np.ndarray, filled: np.ndarray) -> np.ndarray:
        fits: np.ndarray = (h >= 5) & (h <= tallest) & (w <= 1.8 * h) & (filled >= 0.08)
        return fits

    for tone, upright in enumerate((image, 255 - image)):
        # Small letters are anti-aliased, so only some of their pixels are white or black; saturated tissue is alike.
        unsure = levels.saturated[tone]
        for level in LEVELS:
            for y, x, part in _components(upright >= level, (height, width), _may_be_box_or_bar):
                h, w = part.shape
                if _is_box(part):
                    mask[y : y + h, x : x + w] = True
                elif _is_bar(part) and (not unsure or max(h, w) >= LEAST_BAR_SATURATED):
                    mask[y : y + h, x : x + w] |= part
                    drawn.bars.append((top + y, left + x, h, w, tone))
        strict, loose = (image <= BLACK, image <= DUSKY) if tone else (image >= WHITE, image >= PALE)
        for y, x, part in _components(loose, (height, width), may_be_glyph, strict):
            is_letter = not unsure or bool(pure[y : y + part.shape[0], x : x + part.shape[1]][part].any())
            if _has_drawn_edge(image, part, y, x, STEP if is_letter else STEP_SATURATED):
                drawn.glyphs.append((top + y, left + x, *part.shape, tone))
                if is_letter:
                    drawn.letters.append(drawn.glyphs[-1])
    if not levels.smooth:
        for y, x, part in _even_shapes(image, levels):
            mask[y : y + part.shape[0], x : x + part.shape[1]] |= part
    return mask


def _strokes(image: np.ndarray, tone: int) -> np.ndarray:
    """Pixels of letters in an image of text: white or black ones, and the smoothed edges of these."""
    upright = 255 - image if tone else image
    return (upright >= WHITE) | (dilated(upright >= WHITE, 2) & (upright >= PALE))


def _even_shapes(image: np.ndarray, levels_of_all: Levels) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield row, column and mask of shapes of one grey level anywhere in a part of an image: arrows, letters, bars.

    A drawn shape is even up to its edge, and all around it the level or the texture changes within a few pixels. Tissue
    is even where it is saturated or empty, but that fades.
    """
    usual, limit = levels_of_all.spread, levels_of_all.even
    height, width = levels_of_all.image.shape
    labels, stats = label_shapes(find_even(image, limit) > 0)
    spread = spread_of(image)
    fits = (stats[:, 4] >= LEAST_EVEN) & (stats[:, 2] <= 0.95 * width) & (stats[:, 3] <= 0.5 * height)
    for index in np.flatnonzero(fits[1:]) + 1:
        x, y, w, h, area = (int(value) for value in stats[index])
        y0, x0 = max(0, y - 6), max(0, x - 6)
        window = np.s_[y0 : y + h + 6, x0 : x + w + 6]
        core = labels[window] == index
        levels = image[window].astype(np.int16)
        level = int(np.median(levels[core]))
        saturated = not PALE_END < level < 255 - PALE_END
        near = PALE_END if saturated else max(6, 2 * limit)
        shape = core | (dilated(core, 2) & (np.abs(levels - level) <= near))
        ring = dilated(shape, 4) & ~dilated(shape, 2)
        changes = np.abs(levels[ring] - level) > JUMP
        if not ring.any():
            continue
        # Saturated tissue is as even, and a round hole as sharp.
        jumps = float(changes.mean()) >= ALL_AROUND and _is_sharp(levels, shape, level)
        if saturated and area < LEAST_EVEN_GREY and levels_of_all.saturated[level <= PALE_END]:
            continue
        if jumps and (not saturated or is_thin(shape)):
            yield y0, x0, shape
            continue
        rough = spread[window][ring] >= ROUGH * usual
        if saturated or area < LEAST_EVEN_GREY or float((changes | rough).mean()) < ALL_AROUND:
            continue
        if levels_of_all.noisy:
            yield y0, x0, shape


def _is_sharp(levels: np.ndarray, shape: np.ndarray, level: int) -> bool:
    """Whether the step at the edge of a shape is over two pixels outside it; that of an imaged structure is blurred."""
    beyond = np.abs(levels - level).astype(np.float32)
    near, far = dilated(shape, 3) & ~dilated(shape, 2), dilated(shape, 6) & ~dilated(shape, 4)
    return bool(near.any() and far.any()) and float(beyond[near].mean()) >= SHARP * float(beyond[far].mean())


def _components(
    drawn: np.ndarray,
    whole: tuple[int, int],
    may_be: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    seeds: np.ndarray | None = None,
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield row, column and mask of each component that is small enough for a mark and may be one.

    `drawn` is a part of an image of the height and width `whole`.
    `may_be` selects by heights, widths and shares of their boxes that are filled, since there are many specks of noise;
    with `seeds`, a component has one of these pixels.
    """
    height, width = whole
    if not drawn.any():
        return
    labels, stats = label_shapes(drawn)
    heights, widths = stats[:, 3], stats[:, 2]
    fits = (widths <= 0.95 * width) & (heights <= 0.5 * height)
    fits &= may_be(heights, widths, stats[:, 4] / (heights * widths))
    if seeds is not None:
        seeded = np.zeros(len(stats), bool)
        seeded[labels.ravel()[np.flatnonzero(seeds)]] = True
        fits &= seeded
    for index in np.flatnonzero(fits[1:]) + 1:
        x, y, w, h = (int(value) for value in stats[index, :4])
        yield y, x, labels[y : y + h, x : x + w] == index


def _may_be_box_or_bar(h: np.ndarray, w: np.ndarray, filled: np.ndarray) -> np.ndarray:
    longer, shorter = np.maximum(h, w), np.minimum(h, w)
    box = (h >= 10) & (w >= 20) & (w >= 1.2 * h) & (filled >= 0.45)
    fits: np.ndarray = box | ((longer >= 24) & (longer >= 3 * shorter))
    return fits


def _is_box(part: np.ndarray) -> bool:
    """Whether a component is an opaque rectangle, possibly with text in it."""
    h, w = part.shape
    if h < 10 or w < 20 or w < 1.2 * h or part.mean() < 0.45:
        return False
    # Closing by most of the height fills the letters.
    reach = int(0.8 * h) | 1
    padded = np.pad(part, reach, mode="edge").astype(np.uint8)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((reach, reach), np.uint8))
    return float(closed[reach:-reach, reach:-reach].mean()) > 0.95


def _is_bar(part: np.ndarray) -> bool:
    """Whether a component is a thin straight bar, horizontal or vertical, possibly with ticks at its ends."""
    if part.shape[0] > part.shape[1]:
        part = part.T
    h, w = part.shape
    if w < 24 or w < 3 * h:
        return False
    full = part.mean(axis=1) > 0.92
    if not full.any():
        return False
    band = np.flatnonzero(full)
    thickness = band[-1] - band[0] + 1
    solid = bool(full[band[0] : band[-1] + 1].all())
    others = part[~full]
    return solid and w >= 6 * thickness and (others.size == 0 or float(others.mean()) < 0.5)


def _has_drawn_edge(image: np.ndarray, part: np.ndarray, y: int, x: int, least: int) -> bool:
    """Whether grey levels jump at the border of a component, as at a letter drawn over an image."""
    y0, x0 = max(0, y - 3), max(0, x - 3)
    window = image[y0 : y + part.shape[0] + 3, x0 : x + part.shape[1] + 3].astype(np.float32)
    inside = np.zeros(window.shape, np.uint8)
    inside[y - y0 : y - y0 + part.shape[0], x - x0 : x - x0 + part.shape[1]] = part
    ring = (cv2.dilate(inside, np.ones((5, 5), np.uint8)) > 0) & (cv2.dilate(inside, np.ones((3, 3), np.uint8)) == 0)
    if not ring.any():
        return False
    return abs(float(np.median(window[ring])) - float(window[inside > 0].mean())) > least


def _text(glyphs: list[Glyph], letters: list[Glyph], bars: list[Glyph], shape: tuple[int, ...]) -> list[Glyph]:
    """Select the glyphs that are next to a bar, and those of `letters` that form a line of text."""
    chosen = [glyph for glyph in glyphs if any(_beside(glyph, bar) for bar in bars)] + [
        letter
        for letter in letters
        if _near_border(letter, shape) and sum(_same_line(letter, other) for other in letters) >= 3  # including itself
    ]
    # Letters that are shorter or longer than their neighbours are in the line of text, too.
    lines = [(y - h // 3, x - 2 * h, h + 2 * (h // 3), w + 4 * h) for y, x, h, w, _ in chosen]
    return chosen + [letter for letter in letters if any(_within(letter, line) for line in lines)]


def _label_lines(glyphs: list[Glyph], bars: list[Glyph]) -> list[tuple[tuple[int, int, int, int], int]]:
    """Find the line of text at each bar, where letters may merge with tissue of the same tone."""
    lines = []
    for bar in bars:
        letters = [glyph for glyph in glyphs if _beside(glyph, bar)]
        if not letters:
            continue
        tallest = max(h for _, _, h, _, _ in letters)
        y = min(glyph[0] for glyph in letters) - tallest // 4
        end = max(glyph[0] + glyph[2] for glyph in letters) + tallest // 4
        x = min(bar[1], *(glyph[1] for glyph in letters)) - tallest
        right = max(bar[1] + bar[3], *(glyph[1] + glyph[3] for glyph in letters)) + tallest
        lines.append(((y, x, end - y, right - x), bar[4]))
    return lines


def _near_border(glyph: Glyph, shape: tuple[int, ...]) -> bool:
    return glyph[0] < 0.2 * shape[0] or glyph[0] + glyph[2] > 0.8 * shape[0]


def _same_line(glyph: Glyph, other: Glyph) -> bool:
    """Whether two glyphs have the same tone, a similar size, and are neighbours on one line."""
    y, x, h, w, tone = glyph
    v, u, k, m, shade = other
    apart = u - (x + w) if u > x else x - (u + m)
    return (
        shade == tone and abs((v + k) - (y + h)) <= 0.35 * max(h, k) and 0.5 <= k / h <= 2 and apart <= 1.2 * max(h, k)
    )


def _beside(glyph: Glyph, bar: Glyph) -> bool:
    y, x, h, w, tone = glyph
    v, u, k, m, shade = bar
    reach = 1.2 * h + 4
    vertical = max(v - (y + h), y - (v + k))
    sideways = max(u - (x + w), x - (u + m))
    return tone == shade and vertical <= reach and sideways <= reach


def _within(glyph: Glyph, line: tuple[int, int, int, int]) -> bool:
    y, x, h, w, _ = glyph
    v, u, k, m = line
    return y >= v and x >= u and y + h <= v + k and x + w <= u + m
