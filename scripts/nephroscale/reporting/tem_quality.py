"""`tem_quality.csv`: one line per TEM image that is used, with its figures of quality."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nephroscale.arrays import read_array, read_attributes
from nephroscale.evaluation.tables import Cell, write_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FIGURES = ["sharpness", "drift", "knife_marks", "empty", "illumination", "marked"]
COLUMNS = ["patient_id", "image_id", *FIGURES, "small"]


def write_tem_quality(path: Path, bags: Mapping[str, Path]) -> None:
    """Write the table, by patient, then in the order of the patient's images.

    Parameters
    ----------
    path
        CSV file to write; `docs/tem.md` explains the figures.
    bags
        Patient to the object of the stage `tem`.
    """
    rows: list[dict[str, Cell]] = []
    for patient, bag in sorted(bags.items()):
        attributes = read_attributes(bag)
        owner, small = (np.asarray(read_array(bag, name)) for name in ("image", "small"))
        for index, image in enumerate(attributes["images"]):
            figures: dict[str, Cell] = dict(attributes["quality"][image])
            rows.append(
                {"patient_id": patient, "image_id": image, **figures, "small": int(small[owner == index].any())}
            )
    write_table(path, COLUMNS, rows)
