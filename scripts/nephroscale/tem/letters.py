"""Find the letters drawn in white or black on a TEM image: at a scale bar, or several in one line near the border."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from nephroscale.tem.screen import Levels
from nephroscale.tem.shapes import Window, dilated, find_islands, label_window, median, widened

Glyph = tuple[int, int, int, int, int]  # y, x, height, width, tone (0 white, 1 black)

WHITE, BLACK = 244, 11  # after JPEG, levels of letters drawn in white and in black
PALE, DUSKY = 200, 55  # levels of the anti-aliased edges of white and of black letters
STEP, STEP_SATURATED = 45, 90  # levels at the edge of a letter; of one on tissue as white or black
COARSE = 16  # pixels; where letters are looked for is chosen in blocks of this size


@dataclass(frozen=True)
class Drawn:
    """What the parts of an image have: bars, shapes that can be letters, and those of them that are no tissue."""

    bars: list[Glyph]
    glyphs: list[Glyph]
    letters: list[Glyph]


def find_glyphs(image: np.ndarray, part: Window, levels: Levels, drawn: Drawn, pure: np.ndarray) -> None:
    """Append to `drawn` what can be letters in a part of an image, where these matter: near bars, or the border.

    Small letters are anti-aliased, so only some of their pixels are white or black. Saturated tissue is alike; there
    only a letter that is a white or black shape by itself counts away from bars.

    Parameters
    ----------
    image
        uint8 [h, w], a part of the image.
    part
        Its rows and columns.
    levels
        Of the whole image.
    drawn
        With the bars of all parts.
    pure
        bool [h, w], white and black shapes of the part.
    """
    top, left = part[0].start, part[1].start
    height = levels.image.shape[0]
    tallest = int(0.05 * height + 12)
    has_tone = int(image.max()) >= WHITE, int(image.min()) <= BLACK
    for tone, unsure in enumerate(levels.saturated):
        if not has_tone[tone]:
            continue
        reach = 6 * tallest + 8  # of a bar, over a letter beside it and one beside that
        near = [
            (y - reach - top, x - reach - left, h + 2 * reach, w + 2 * reach)
            for y, x, h, w, own in drawn.bars
            if own == tone
        ]
        if unsure:
            for (rows, columns), _ in find_islands(pure):
                y, x, h, w = rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start
                near.append((y - tallest - 1, x - 2 * tallest, h + 2 * tallest + 2, w + 4 * tallest))
        else:
            border = int(0.2 * height) + 3 * tallest
            near += [(-top, 0, border, image.shape[1]), (height - border - top, 0, border, image.shape[1])]
        for window in _merged(near, image.shape):
            look = image[window]
            strict, loose = (look <= BLACK, look <= DUSKY) if tone else (look >= WHITE, look >= PALE)
            if not strict.any():
                continue
            for y, x, shape in _glyphs(loose, strict, window, image.shape, tallest):
                is_letter = not unsure or bool(pure[y : y + shape.shape[0], x : x + shape.shape[1]][shape].any())
                if _has_drawn_edge(image, shape, y, x, STEP if is_letter else STEP_SATURATED):
                    drawn.glyphs.append((top + y, left + x, *shape.shape, tone))
                    if is_letter:
                        drawn.letters.append(drawn.glyphs[-1])


def _merged(boxes: list[tuple[int, int, int, int]], shape: tuple[int, ...]) -> list[Window]:
    """Windows of an image that cover boxes (y, x, height, width), no two of which touch."""
    covered = np.zeros([-(-side // COARSE) for side in shape], np.uint8)
    number = -1
    while True:
        for y, x, h, w in boxes:
            if y + h > 0 and x + w > 0:
                covered[max(0, y) // COARSE : -(-(y + h) // COARSE), max(0, x) // COARSE : -(-(x + w) // COARSE)] = 1
        if (now := cv2.countNonZero(covered)) == number:
            break
        number = now
        found = cv2.connectedComponentsWithStats(covered, connectivity=8)[2][1:].tolist()
        boxes = [(COARSE * y, COARSE * x, COARSE * h, COARSE * w) for x, y, w, h, _ in found]
    return [np.s_[y : min(shape[0], y + h), x : min(shape[1], x + w)] for y, x, h, w in boxes if number]


def _glyphs(
    loose: np.ndarray, strict: np.ndarray, window: Window, whole: tuple[int, ...], tallest: int
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield row, column and mask of shapes that can be letters in a window of a part of an image.

    Shapes that go on outside of the window are larger than letters, or far from what matters.
    """
    top, left = window[0].start, window[1].start
    labels, stats = label_window(loose)
    x, y, w, h, area = stats.T
    with np.errstate(invalid="ignore"):
        fits = (h >= 5) & (h <= tallest) & (w <= 1.8 * h) & (area / (h * w) >= 0.08)
    fits &= ((y > 0) | (top == 0)) & ((y + h < len(loose)) | (window[0].stop == whole[0]))
    fits &= ((x > 0) | (left == 0)) & ((x + w < loose.shape[1]) | (window[1].stop == whole[1]))
    fits[0] = False
    seeded = np.zeros(len(stats), bool)
    seeded[labels[strict]] = True
    for index in np.flatnonzero(fits & seeded).tolist():
        part = np.s_[y[index] : y[index] + h[index], x[index] : x[index] + w[index]]
        yield int(top + y[index]), int(left + x[index]), labels[part] == index


def strokes(image: np.ndarray, tone: int) -> np.ndarray:
    """Pixels of letters in an image of text: white or black ones, and the smoothed edges of these."""
    upright = 255 - image if tone else image
    return (upright >= WHITE) | (dilated(upright >= WHITE, 2) & (upright >= PALE))


def _has_drawn_edge(image: np.ndarray, part: np.ndarray, y: int, x: int, least: int) -> bool:
    """Whether grey levels jump at the border of a component, as at a letter drawn over an image."""
    height, width = part.shape
    around, place = widened(np.s_[y : y + height, x : x + width], 3, image.shape)
    window = image[around]
    inside = np.zeros(window.shape, bool)
    inside[place] = part
    ring = window[dilated(inside, 2) & ~dilated(inside, 1)]
    if not ring.size:
        return False
    mean = np.float32(window[inside].sum(dtype=np.int64)) / np.float32(np.count_nonzero(part))
    return abs(median(ring) - float(mean)) > least


def select_text(glyphs: list[Glyph], letters: list[Glyph], bars: list[Glyph], shape: tuple[int, ...]) -> list[Glyph]:
    """Select the glyphs that are next to a bar, and those of `letters` that form a line of text."""
    chosen = [glyph for glyph in glyphs if any(_beside(glyph, bar) for bar in bars)] + [
        letter
        for letter in letters
        if (letter[0] < 0.2 * shape[0] or letter[0] + letter[2] > 0.8 * shape[0])  # near the border
        and sum(_same_line(letter, other) for other in letters) >= 3  # including itself
    ]
    # Letters that are shorter or longer than their neighbours are in the line of text, too.
    lines = [(y - h // 3, x - 2 * h, h + 2 * (h // 3), w + 4 * h) for y, x, h, w, _ in chosen]
    return chosen + [letter for letter in letters if any(_within(letter, line) for line in lines)]


def find_label_lines(glyphs: list[Glyph], bars: list[Glyph]) -> list[tuple[tuple[int, int, int, int], int]]:
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
