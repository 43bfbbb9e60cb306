"""Reading bags: memory-mapped, so that opening one costs next to nothing and only what is used is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nephroscale.arrays import read_array, read_attributes

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


@dataclass(frozen=True)
class Bag:
    """A patient's instances of one modality.

    Attributes
    ----------
    patient, modality, encoder
        Whose, of what, and encoded by what.
    features
        Maps [n, h, w, C] float16 or float32, or pixels [n, S, S, 3] uint8; read-only memory map.
    image
        [n] int16, index into `images`.
    slot
        [n] int8, place in `panel` (0 for OM and TEM).
    score
        [n] float32.
    images
        Ids of the images.
    panel
        Markers of the IM panel, by slot.
    """

    patient: str
    modality: str
    encoder: str
    features: np.ndarray
    image: np.ndarray
    slot: np.ndarray
    score: np.ndarray
    images: tuple[str, ...]
    panel: tuple[str, ...]

    def __len__(self) -> int:
        """Count the instances."""
        return len(self.features)

    @property
    def is_pixels(self) -> bool:
        """Whether the bag holds images to fine-tune on, not feature maps."""
        return self.features.dtype.kind == "u"

    @property
    def image_ids(self) -> list[str]:
        """Image id of each instance."""
        return [self.images[int(i)] for i in self.image]


def open_bag(path: Path) -> Bag:
    """Open a bag that :func:`nephroscale.features.extract.extract_features` or `h5.import_h5` wrote.

    Raises
    ------
    NephroscaleError
        When an array is missing or cannot be mapped.
    """
    attributes = read_attributes(path)
    arrays = {name: read_array(path, name) for name in ("features", "image", "slot", "score")}
    return Bag(
        patient=attributes["patient"],
        modality=attributes["modality"],
        encoder=attributes["encoder"],
        images=tuple(attributes["images"]),
        panel=tuple(attributes["panel"]),
        **arrays,
    )
