"""What a micrograph shows beside its marks: equal for copies with and without a data strip, rotated or mirrored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from nephroscale.slides.duplicates import ASPECT_TOLERANCE, COPY_BITS
from nephroscale.slides.perceptual_hash import OVERVIEW_PX, hash_turned
from nephroscale.tem.instances import resample

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np


@dataclass(frozen=True)
class ShownContent:
    """The content of an image without its marks.

    Attributes
    ----------
    hashes
        Perceptual hashes of the image as it is, rotated by right angles, and mirrored
        (:func:`~nephroscale.slides.perceptual_hash.hash_turned`).
    aspect
        Its width by its height.
    """

    hashes: tuple[int, ...]
    aspect: float

    @classmethod
    def of(cls, image: np.ndarray) -> Self:
        """Hash an image, uint8 [h, w], of more than one grey level."""
        height, width = image.shape
        factor = OVERVIEW_PX / min(height, width)
        small = resample(image, round(height * factor), round(width * factor)) if factor < 1 else image
        return cls(tuple(int(each, 16) for each in hash_turned(small)), width / height)

    def find_original(self, used: Mapping[str, Self]) -> str | None:
        """Find the first of the images used that shows the same, also turned; None where there is none."""
        for name, other in used.items():
            for turns, found in enumerate(self.hashes):
                aspect = 1 / self.aspect if turns % 2 else self.aspect
                alike = (found ^ other.hashes[0]).bit_count() <= COPY_BITS
                if alike and abs(aspect / other.aspect - 1) <= ASPECT_TOLERANCE:
                    return name
        return None
