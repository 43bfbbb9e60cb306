"""Reading bags: memory-mapped, so that opening one costs next to nothing and only what is used is read."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from nephroscale.arrays import read_array, read_attributes

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


class Bag:
    """A patient's instances of one modality; arrays are mapped when first asked for.

    Parameters
    ----------
    path
        Zarr group of the stage `features`.

    Attributes
    ----------
    patient, modality, encoder
        Whose, of what, and encoded by what.
    images
        Ids of the images.
    panel
        Markers of the IM panel, by slot.
    """

    def __init__(self, path: Path) -> None:
        attributes = read_attributes(path)
        self.path = path
        self.patient: str = attributes["patient"]
        self.modality: str = attributes["modality"]
        self.encoder: str = attributes["encoder"]
        self.images: tuple[str, ...] = tuple(attributes["images"])
        self.panel: tuple[str, ...] = tuple(attributes["panel"])

    @cached_property
    def features(self) -> np.ndarray:
        """Maps [n, h, w, C] float16 or float32, or pixels [n, S, S, 3] uint8."""
        return read_array(self.path, "features")

    @cached_property
    def image(self) -> np.ndarray:
        """[n] int16, index into `images`."""
        return read_array(self.path, "image")

    @cached_property
    def slot(self) -> np.ndarray:
        """[n] int8, place in `panel` (0 for OM and TEM)."""
        return read_array(self.path, "slot")

    @cached_property
    def score(self) -> np.ndarray:
        """[n] float32: of the glomerulus, or the share of a TEM instance that is image."""
        return read_array(self.path, "score")

    @cached_property
    def position(self) -> np.ndarray:
        """[n, 2] float32, centre x, y in pixels of the raw image."""
        return read_array(self.path, "position")

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
    """Open a bag that `features.extract` or `features.h5` wrote.

    Raises
    ------
    NephroscaleError
        When its features are missing or cannot be mapped.
    """
    bag = Bag(path)
    len(bag)
    return bag
