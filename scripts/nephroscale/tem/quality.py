"""What an electron micrograph is worth: illumination, places without tissue, sharpness, drift and knife marks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import chain

import cv2
import numpy as np

from nephroscale.tem.shapes import median

SMALL = 512  # pixels of the longer side, where large structures are measured
BLOCK = 32  # pixels there, of which a median is taken
EVEN = 4.0  # spread of grey levels below which a place has no structure
BRIGHT, DARK = 170, 30  # grey levels of empty resin and holes, and of grid bars, if a place has no structure
CROP, CROPS = 256, 3  # pixels, and number in each direction, of the parts where fine structures are measured
STREAKS = 192  # pixels of the side of the whole image where knife marks are measured
ANGLES = 90  # directions of knife marks
SAMPLED = 1_000_000  # pixels on which percentiles are measured
MOST_GAIN = 1.3  # of evening: a lumen or a dense cell at one side is no illumination


@dataclass(frozen=True)
class Quality:
    """Quality of one image.

    Attributes
    ----------
    empty
        Share of the area that is empty resin, hole or grid bar.
    illumination
        Range of the illumination over the image, as a share of its mean.
    sharpness
        Contrast at periods of 2 to 8 pixels over that at 8 to 32; noise counts as contrast, so compare like images.
    drift
        From 0 (edges run in all directions) to 1 (in one: drift, vibration, astigmatism, or one straight membrane).
    knife_marks
        From 0 to below 1: by how much streaks across the image in one direction exceed those in the usual direction.
    """

    empty: float
    illumination: float
    sharpness: float
    drift: float
    knife_marks: float

    def to_mapping(self) -> dict[str, float]:
        """Return the figures, rounded."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


def measure_quality(image: np.ndarray, light: np.ndarray, quarter: np.ndarray | None = None) -> Quality:
    """Measure the quality of an image.

    Parameters
    ----------
    image
        uint8 [h, w], with normalised contrast.
    light
        Its illumination, as :func:`illumination` gives it.
    quarter
        The image by :func:`quartered`, if it is known.
    """
    sharpness, drift = _fine_structure(image)
    quarter = quartered(image) if quarter is None else quarter
    return Quality(
        empty=float(flat_places(quarter).mean()),
        illumination=float(np.ptp(light) / light.mean()),
        sharpness=sharpness,
        drift=drift,
        knife_marks=_knife_marks(quarter if min(quarter.shape) >= 2 * STREAKS else image),
    )


def illumination(image: np.ndarray, mask: np.ndarray, quarter: np.ndarray | None = None) -> np.ndarray:
    """Fit the illumination of an image: a quadratic surface through the medians of blocks that show tissue.

    Blocks far off the surface (a lumen, a nucleus) count little (iteratively reweighted least squares).

    Parameters
    ----------
    image
        uint8 [h, w].
    mask
        bool [h, w], pixels that do not count.
    quarter
        The image by :func:`quartered`, if it is known.

    Returns
    -------
    numpy.ndarray
        float32 [rows, columns], grey levels at the centres of blocks; constant where too few blocks show tissue.
    """
    longest = min(SMALL, max(image.shape))
    if max(image.shape) >= 4 * SMALL:
        image = quartered(image) if quarter is None else quarter
    small = _shrink(image, longest)
    hidden = cv2.resize(mask.view(np.uint8), small.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    rows, columns = (max(1, side // BLOCK) for side in small.shape)
    hidden |= find_empty(small)
    parts = [np.array_split(line, columns, axis=1) for line in np.array_split(small, rows, axis=0)]
    unseen = [np.array_split(line, columns, axis=1) for line in np.array_split(hidden, rows, axis=0)]
    y, x = (axis.ravel() for axis in np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j])
    design = np.stack([np.ones_like(y), y, x, y * y, x * x, x * y], axis=1)
    covered = [np.count_nonzero(free) / free.size for line in unseen for free in line]
    use = np.array(covered) < 0.5
    level = np.array(
        [
            median(part[~free]) if share < 1 else 0.0
            for part, free, share in zip(chain(*parts), chain(*unseen), covered, strict=True)
        ]
    )
    if use.sum() < 4 * design.shape[1] or min(rows, columns) < 3:
        middle = float(np.median(level[use])) if use.any() else float(np.median(small))
        return np.full((rows, columns), max(middle, 1.0), np.float32)
    weights = use.astype(float)
    for _ in range(10):
        root = np.sqrt(weights)
        surface = design @ np.linalg.lstsq(design * root[:, None], level * root, rcond=None)[0]
        off = np.abs(level - surface)
        width = max(1.0, 1.5 * float(np.median(off[use])))
        weights = use / np.maximum(1.0, off / width)
    return np.asarray(np.maximum(surface, 1.0).reshape(rows, columns).astype(np.float32))


def even_illumination(image: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Divide an image by its illumination, and keep its mean; no place is changed by more than the factor MOST_GAIN.

    Parameters
    ----------
    image
        uint8 [h, w].
    light
        As :func:`illumination` gives it.
    """
    gain = np.clip(light.mean() / light, 1 / MOST_GAIN, MOST_GAIN)
    full = cv2.resize(gain, image.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.multiply(image, full, dtype=cv2.CV_8U))


def normalise_contrast(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Stretch grey levels from the 1st to the 99th percentile of the pixels without marks.

    Parameters
    ----------
    image
        uint8 [h, w].
    mask
        bool [h, w], pixels of burned-in marks.
    """
    low, high = percentiles(image, mask, 1, 99)
    levels = np.clip((np.arange(256) - low) / max(high - low, 1.0), 0, 1)
    return cv2.LUT(image, np.rint(levels * 255).astype(np.uint8))


def percentiles(image: np.ndarray, mask: np.ndarray, *shares: float) -> list[float]:
    """Give percentiles of the pixels that are not masked, as `numpy.percentile` does, by their histogram.

    If an image has more than two million pixels, every second row or fewer are used.

    Parameters
    ----------
    image
        uint8 [h, w].
    mask
        bool [h, w].
    shares
        From 0 to 100.
    """
    step = max(1, image.size // SAMPLED)  # whole rows, so many that more would not change a level
    image, mask = image[::step], mask[::step]
    seen = (~mask).view(np.uint8) if mask.any() else None
    below = cv2.calcHist([image], [0], seen, [256], [0, 256]).ravel().astype(np.int64).cumsum()
    places = np.asarray(shares) / 100 * (below[-1] - 1)
    lower, upper = (np.searchsorted(below, rounded, side="right") for rounded in (np.floor(places), np.ceil(places)))
    values: list[float] = (lower + (upper - lower) * (places % 1)).tolist()
    return values


def find_empty(image: np.ndarray) -> np.ndarray:
    """Mark places without structure that are bright (empty resin, holes of the film) or dark (grid bars).

    Parameters
    ----------
    image
        uint8 [h, w]; it is measured at a quarter of its size.

    Returns
    -------
    numpy.ndarray
        bool [h, w].
    """
    flat = flat_places(quartered(image))
    return cv2.resize(flat.view(np.uint8), image.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0


def flat_places(quarter: np.ndarray) -> np.ndarray:
    """Mark the same, bool [h / 4, w / 4], of an image by :func:`quartered`."""
    values = quarter.astype(np.float32)
    mean = cv2.blur(values, (9, 9))
    variance = cv2.blur(np.multiply(values, values, out=values), (9, 9))
    variance -= np.multiply(mean, mean, out=values)
    return np.asarray((variance < EVEN**2) & ((mean > BRIGHT) | (mean < DARK)))


def quartered(image: np.ndarray) -> np.ndarray:
    """Shrink an image, uint8 [h, w], to a quarter of its sides, without a remainder of up to three pixels."""
    for _ in range(2):
        height, width = (max(1, side // 2) for side in image.shape)
        image = cv2.resize(image[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    return image


def _shrink(image: np.ndarray, longest: int) -> np.ndarray:
    factor = longest / max(image.shape)
    if factor >= 1:
        return image
    height, width = (max(1, round(side * factor)) for side in image.shape)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _fine_structure(image: np.ndarray) -> tuple[float, float]:
    """Sharpness and drift, from parts of the image on an even grid."""
    side = min(CROP, *image.shape)
    ratios, tensor = [], np.zeros(3)
    for top in np.linspace(0, image.shape[0] - side, CROPS).astype(int):
        for left in np.linspace(0, image.shape[1] - side, CROPS).astype(int):
            part = image[top : top + side, left : left + side].astype(np.float32)
            fine, coarse = cv2.GaussianBlur(part, (0, 0), 1.5), cv2.GaussianBlur(part, (0, 0), 6)
            ratios.append(float((part - fine).std() / max(1e-3, float((fine - coarse).std()))))
            dx, dy = cv2.Sobel(fine, cv2.CV_32F, 1, 0), cv2.Sobel(fine, cv2.CV_32F, 0, 1)
            tensor += [float((dx * dx).mean()), float((dy * dy).mean()), float((dx * dy).mean())]
    total = tensor[0] + tensor[1]
    drift = float(np.hypot(tensor[0] - tensor[1], 2 * tensor[2]) / total) if total > 0 else 0.0
    return float(np.median(ratios)), drift


def _knife_marks(image: np.ndarray) -> float:
    """Compare the strongest direction of straight streaks with the usual one, by means along lines."""
    side = STREAKS
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= cv2.GaussianBlur(small, (0, 0), 8)
    inner = 132  # side of a square that all directions fill
    along = []
    for angle in np.arange(ANGLES) * (180 / ANGLES):
        turn = cv2.getRotationMatrix2D((side / 2, side / 2), float(angle), 1.0)
        turn[:, 2] -= (side - inner) // 2
        along.append(cv2.warpAffine(small, turn, (inner, inner), flags=cv2.INTER_LINEAR).mean(axis=1))
    strength = np.stack(along).std(axis=1).astype(float)
    most = float(strength.max())
    return 1 - float(np.median(strength)) / most if most > 0 else 0.0
