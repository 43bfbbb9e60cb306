"""Find burned-in scale bars, labels, arrows and data strips of TEM images.

A model could identify the microscope, the operator or the patient by a label. Burned-in marks were drawn, not imaged:
their grey levels are even, without noise, and jump at their edges within a pixel or two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

import cv2
import numpy as np

from nephroscale.tem.insets import find_insets
from nephroscale.tem.letters import BLACK, WHITE, Drawn, find_glyphs, find_label_lines, select_text, strokes
from nephroscale.tem.level import find_one_level
from nephroscale.tem.lines import draw_lines, find_lines
from nephroscale.tem.network import find_drawn
from nephroscale.tem.pure import find_pure_shapes
from nephroscale.tem.runs import find_runs
from nephroscale.tem.screen import DARK_KIND, EVEN_KIND, PALE_KIND, Levels, find_groups, find_parts
from nephroscale.tem.shapes import (
    Window,
    contiguous,
    dilated,
    is_thin,
    label_window,
    median,
    sparsely_dilated,
    spread_of,
    widened,
)
from nephroscale.tem.sharp import find_sharp_shapes
from nephroscale.tem.survey import PALE_END

LEVELS = (230, 241, 250)  # thresholds for white bars and boxes on bright tissue; 255 minus these for black ones
LEAST_BAR_SATURATED = 48  # pixels; a shorter bar on tissue as white or black can be a membrane
MAX_STRIP = 0.3  # height of a data strip, as a fraction of the image
ROUGH = 0.6  # spread beside a drawn shape, as a share of the median spread
LEAST_LONG = 20  # pixels of a bar or box, and its length
LEAST_EVEN = 12  # pixels of a shape that are even with all neighbours
LEAST_EVEN_GREY = 80  # the same of a shape that differs from the tissue by its evenness alone, or not by its level
JUMP = 30  # grey levels
SHARP = 0.85  # step at the edge of a drawn shape two pixels outside it, as a share of the whole step
ALL_AROUND = 0.85  # share of the pixels round a shape
FLAT = 6  # grey levels around that of a data strip that belong to it
EVEN = 1  # grey level between neighbours in a strip whose ground is a gradient
MOST_EVEN_TISSUE = 0.3  # share of such neighbours in the rows beyond that strip
FRAME, FRAME_FLAT, WIDEST_FRAME = 0.9, 6, 0.05  # share of a line at one level, levels around it, share of the side
JPEG_BLOCK = 8  # rows in which tissue and strip may mix
MOST_STRIPS = 4  # on each other

RowCounter = Callable[[np.ndarray], int]


def find_picture(image: np.ndarray) -> Window:
    """Find the part of an image without data strips, also where one lies on another or inside a frame.

    Parameters
    ----------
    image
        uint8 [h, w].

    Returns
    -------
    tuple of slice
        Rows and columns of the picture. A frame is cut off only where a strip lies inside it.
    """
    picture = (slice(0, image.shape[0]), slice(0, image.shape[1]))
    for _ in range(MOST_STRIPS):
        inner = _without(image, picture, _strip_rows)
        if inner == picture:
            framed = _without(image, picture, _frame_rows)
            inner = _without(image, framed, _strip_rows)
            if inner == framed:
                break
        picture = inner
    return picture


def _without(image: np.ndarray, picture: Window, count_rows: RowCounter) -> Window:
    """Cut off what a function counts of the rows from the first on, on each of the four sides."""
    rows, columns = picture
    top, bottom = _between(image[picture], count_rows)
    rows = slice(rows.start + top, rows.start + bottom)
    left, right = _between(image[rows, columns].T, count_rows)
    return rows, slice(columns.start + left, columns.start + right)


def _between(image: np.ndarray, count_rows: RowCounter) -> tuple[int, int]:
    return count_rows(image), len(image) - count_rows(image[::-1])


def _frame_rows(image: np.ndarray) -> int:
    """Count the rows from the first on that have one level, and the smoothed one after them."""
    head = image[: max(2, int(len(image) * WIDEST_FRAME))]
    if not _have_one_level(head[:1]).all():  # nearly always
        return 0
    count = int(np.argmin(np.append(_have_one_level(head), False)))
    return count if count in {0, len(head)} else count + 1


def _have_one_level(rows: np.ndarray) -> np.ndarray:
    """Whether most pixels of each row are about of one level: bool [h]."""
    away = cv2.absdiff(rows, np.repeat(np.median(rows, axis=1).astype(np.uint8)[:, None], rows.shape[1], axis=1))
    return np.asarray((away <= FRAME_FLAT).mean(axis=1) >= FRAME)


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
    return _between(image, _strip_rows)


def _strip_rows(image: np.ndarray) -> int:
    """Count the rows of a strip that starts at row 0."""
    return _level_rows(image) or _gradient_rows(image)


def _gradient_rows(image: np.ndarray) -> int:
    """Count the rows of a strip that starts at row 0 and whose ground is a gradient: most neighbours are even."""
    height = image.shape[0]
    limit, edge = int(height * MAX_STRIP), max(3, height // 200)
    head = image[: limit + 2 * edge + JPEG_BLOCK]
    if not (_even_share(contiguous(head[: edge + 2])) >= 0.5).any():  # nearly always
        return 0
    share = _even_share(contiguous(head))
    rows = np.flatnonzero(share >= 0.5)
    gaps = np.flatnonzero(np.diff(rows) > edge + 1)
    end = int(rows[gaps[0]] if gaps.size else rows[-1]) + 1
    tissue = np.flatnonzero(share[end : end + JPEG_BLOCK + 1] <= MOST_EVEN_TISSUE)
    if end < max(6, height // 80) or end > limit or not tissue.size:
        return 0
    end += int(tissue[0])
    beyond = share[end + 1 : end + 1 + edge]
    return end + max(1, edge // 3) if beyond.size and beyond.max() <= MOST_EVEN_TISSUE else 0


def _even_share(rows: np.ndarray) -> np.ndarray:
    """Share of the pixels of each row but the last that are as their neighbours in it, or as those below: [h - 1]."""
    across, along = cv2.absdiff(rows[:-1, 1:], rows[:-1, :-1]), cv2.absdiff(rows[1:], rows[:-1])
    return np.asarray(np.maximum((across <= EVEN).mean(axis=1), (along <= EVEN).mean(axis=1)))


def _level_rows(image: np.ndarray) -> int:
    """Count the rows of a strip that starts at row 0 and whose ground has one level."""
    height = image.shape[0]
    limit = int(height * MAX_STRIP)
    head = image[: limit + 8]
    edge = max(3, height // 200)
    level = int(cv2.calcHist([contiguous(head[: 3 * edge])], [0], None, [256], [0, 256]).argmax())
    if not (_near(contiguous(head[: edge + 1]), level).mean(axis=1) >= 0.5).any():
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
    return np.asarray(cv2.absdiff(image, np.full_like(image, level)) <= FLAT)


def find_marks(image: np.ndarray, *, network: bool = True) -> np.ndarray:
    """Find scale bars, opaque labels and text drawn on a TEM image.

    Parameters
    ----------
    image
        uint8 [h, w] without data strips.
    network
        Whether the network, too, looks for marks.

    Returns
    -------
    numpy.ndarray
        bool [h, w], dilated to include the blurred edges of the marks.
    """
    levels = Levels(image)
    mask = np.zeros(image.shape, bool)
    drawn = Drawn([], [], [])
    parts = find_parts(levels)
    pure = [_find_in_part(image[part], part, levels, drawn, mask[part]) for part in parts]
    for part, shapes in zip(parts, pure, strict=True):
        find_glyphs(image[part], part, levels, drawn, shapes)
    lines = find_lines(levels)
    for window in find_insets(image, *lines):
        mask[window] = True
    searches = (draw_lines(image, lines), find_one_level(levels), find_runs(levels), find_sharp_shapes(levels))
    for window, shape in chain.from_iterable(searches):
        mask[window] |= shape
    glyphs, letters, bars = drawn.glyphs, drawn.letters, drawn.bars
    for y, x, h, w, tone in select_text(glyphs, letters, bars, image.shape):
        mask[y : y + h, x : x + w] |= strokes(image[y : y + h, x : x + w], tone)
    for (y, x, h, w), tone in find_label_lines(glyphs, bars):
        rows, columns = slice(max(0, y), y + h), slice(max(0, x), x + w)
        mask[rows, columns] |= strokes(image[rows, columns], tone)
    reach = max(2, round(0.002 * max(image.shape)))
    grown = sparsely_dilated(mask, reach)
    return grown | sparsely_dilated(find_drawn(levels), reach - 1) if network else grown


def _find_in_part(image: np.ndarray, part: Window, levels: Levels, drawn: Drawn, mask: np.ndarray) -> np.ndarray:
    """Find bars, boxes, and shapes that are marks by themselves in a part of an image, and set them in its mask.

    Bars are appended to `drawn`, at their places in the image. White and black shapes are given: bool [h, w].
    """
    top, left = part[0].start, part[1].start
    pure = find_pure_shapes(image, levels)
    mask |= pure
    lowest, highest, _, _ = cv2.minMaxLoc(image)
    for tone, unsure in enumerate(levels.saturated):
        if (255 - lowest if tone else highest) < LEVELS[0]:
            continue
        for y, x, shape in _long_shapes(image, levels, tone):
            h, w = shape.shape
            if _is_box(shape):
                mask[y : y + h, x : x + w] = True
            elif _is_bar(shape) and (not unsure or max(h, w) >= LEAST_BAR_SATURATED):
                mask[y : y + h, x : x + w] |= shape
                drawn.bars.append((top + y, left + x, h, w, tone))
    if not levels.smooth:
        for y, x, shape in _even_shapes(image, levels):
            mask[y : y + shape.shape[0], x : x + shape.shape[1]] |= shape
    return pure


def _long_shapes(image: np.ndarray, levels: Levels, tone: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield row, column and mask of the shapes of a tone that may be bars or boxes in a part of an image."""
    whole = levels.image.shape
    for (rows, columns), own in find_groups(image, levels, (PALE_KIND, DARK_KIND)[tone], LEAST_LONG):
        if max(own.shape) < LEAST_LONG:
            continue
        for level in LEVELS:
            own &= image[rows, columns] <= 255 - level if tone else image[rows, columns] >= level  # noqa: PLW2901
            labels, stats = label_window(own)
            large = np.flatnonzero(stats[1:, 4] >= LEAST_LONG) + 1
            if not large.size or stats[large, 2:4].max() < LEAST_LONG:
                break
            for index, (x, y, w, h, area) in zip(large.tolist(), stats[large].tolist(), strict=True):
                if w <= 0.95 * whole[1] and h <= 0.5 * whole[0] and _may_be_box_or_bar(h, w, area):
                    yield rows.start + y, columns.start + x, labels[y : y + h, x : x + w] == index


def _even_shapes(image: np.ndarray, levels_of_all: Levels) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield row, column and mask of shapes of one grey level anywhere in a part of an image: arrows, letters, bars.

    A drawn shape is even up to its edge, and all around it the level or the texture changes within a few pixels. Tissue
    is even where it is saturated or empty, but that fades.
    """
    usual, limit = levels_of_all.spread, levels_of_all.even
    height, width = levels_of_all.image.shape
    for window, own in find_groups(image, levels_of_all, EVEN_KIND, LEAST_EVEN):
        # Saturated tissue is as even, and a round hole as sharp.
        if np.count_nonzero(own) < LEAST_EVEN_GREY and _is_saturated(image[window][own], levels_of_all):
            continue
        labels, stats = label_window(own)
        fits = (stats[:, 4] >= LEAST_EVEN) & (stats[:, 2] <= 0.95 * width) & (stats[:, 3] <= 0.5 * height)
        for index in (np.flatnonzero(fits[1:]) + 1).tolist():
            x, y, w, h, area = stats[index].tolist()
            tight = np.s_[y : y + h, x : x + w]
            level = int(median(image[window][tight][labels[tight] == index]))
            saturated = not PALE_END < level < 255 - PALE_END
            if saturated and area < LEAST_EVEN_GREY and levels_of_all.saturated[level <= PALE_END]:
                continue
            place = np.s_[window[0].start + y : window[0].start + y + h, window[1].start + x : window[1].start + x + w]
            wide, inner = widened(place, 6, image.shape)
            look = image[wide]
            core = np.zeros(look.shape, bool)
            core[inner] = labels[tight] == index
            away = cv2.absdiff(look, np.full_like(look, level))
            shape = core | (dilated(core, 2) & (away <= (PALE_END if saturated else max(6, 2 * limit))))
            ring = dilated(shape, 4) & ~dilated(shape, 2)
            if not ring.any():
                continue
            changes = away > JUMP
            if _share(changes, ring) >= ALL_AROUND and _is_sharp(away, shape) and (not saturated or is_thin(shape)):
                yield wide[0].start, wide[1].start, shape
            elif not saturated and area >= LEAST_EVEN_GREY and levels_of_all.noisy:
                beyond, at = widened(wide, 1, image.shape)
                rough = spread_of(image[beyond])[at] >= ROUGH * usual
                if _share(changes | rough, ring) >= ALL_AROUND:
                    yield wide[0].start, wide[1].start, shape


def _is_saturated(pixels: np.ndarray, levels: Levels) -> bool:
    """Whether all pixels are white where tissue is, or all black."""
    white, black = levels.saturated
    return bool((white and pixels.min() >= 255 - PALE_END) or (black and pixels.max() <= PALE_END))


def _share(mask: np.ndarray, among: np.ndarray) -> float:
    return np.count_nonzero(mask & among) / np.count_nonzero(among)


def _is_sharp(away: np.ndarray, shape: np.ndarray) -> bool:
    """Whether the step at the edge of a shape is over two pixels outside it; that of an imaged structure is blurred."""
    near, far = dilated(shape, 3) & ~dilated(shape, 2), dilated(shape, 6) & ~dilated(shape, 4)
    away = away.astype(np.float32)
    return bool(near.any() and far.any()) and float(away[near].mean()) >= SHARP * float(away[far].mean())


def _may_be_box_or_bar(h: int, w: int, area: int) -> bool:
    longer, shorter = max(h, w), min(h, w)
    box = h >= 10 and w >= 20 and w >= 1.2 * h and area / (h * w) >= 0.45
    return box or (longer >= 24 and longer >= 3 * shorter)


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
