"""What a bag of features is made from."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class FeatureSource(NamedTuple):
    """One object to encode.

    Parameters
    ----------
    image_id
        Id of the image; for TEM, id of the patient.
    path
        Object of the stage `glomeruli` (OM, IM) or `tem`.
    slot
        Place of the marker in the IM panel; 0 for OM and TEM.
    """

    image_id: str
    path: Path
    slot: int = 0
