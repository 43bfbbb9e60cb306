"""The command `scales`: the scale in each file, in the tables, and the one that is used."""

from __future__ import annotations

import argparse
from typing import NamedTuple

from nephroscale.cohort.image import Image
from nephroscale.cohort.scales import MAX_RELATIVE_DIFFERENCE
from nephroscale.commands.run import Commands, open_plan
from nephroscale.errors import Rejected
from nephroscale.slides.facts import ImageFacts, with_scale
from nephroscale.slides.scale_bar import can_read_bars
from nephroscale.slides.stated_scale import StatedScale, read_stated_scales


class ScaleRow(NamedTuple):
    """One image in the printed table."""

    image: str
    modality: str
    file: str
    table: str
    used: str
    note: str


HEADER = ScaleRow("image", "modality", "file states", "table gives", "used", "")


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    commands.add_parser(
        "scales", help="list the scale in each file, in the tables, and the one that is used", run=list_scales
    )


def list_scales(options: argparse.Namespace) -> None:
    """Print a line for each image, in the order of the ids."""
    images = list(open_plan(options).cohort.images.values())
    stated = read_stated_scales([(image.path, image.modality, image.page) for image in images])
    rows = [_row(image, scale) for image, scale in zip(images, stated, strict=True)]
    widths = [max(len(cell) for cell in column) for column in zip(HEADER, *rows, strict=True)]
    for row in (HEADER, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    lacking, noted = (sum(getattr(row, name) == "none" for row in rows) for name in ("used", "file"))
    conflicts = sum("differ" in row.note for row in rows)
    print(f"\n{len(rows)} images: {noted} whose file states no scale, {lacking} without any, {conflicts} in conflict.")


def _row(image: Image, stated: StatedScale) -> ScaleRow:
    unit, factor = ("nm", 1000.0) if image.modality == "TEM" else ("µm", 1.0)
    row, notes = image.row(), []
    file = None if stated.mpp is None else stated.mpp * factor
    table = None if row.scale is None else row.scale.value * {"um": 1.0, "nm": 1e-3}[row.scale.unit] * factor
    try:
        scale = with_scale(ImageFacts(), stated.mpp, row, generic=stated.generic, bar_unread=can_read_bars()).scale
        used = "from its bar, if any" if scale is None else "whole field"
        if scale is not None and scale.value is not None:
            used = f"{scale.value:.4g} {unit} ({scale.source})"
    except Rejected as rejected:
        used = "none"
        notes.append(rejected.reason)
    if stated.fault:
        notes = [stated.fault]
    elif file is not None and stated.believed(image.modality) is None:
        notes.append("the scale in the file is not used")
    elif file is not None and table is not None and abs(table / file - 1) > MAX_RELATIVE_DIFFERENCE:
        notes.append(f"file and table differ by {abs(table / file - 1):.0%}")
    source = f" ({stated.source})" if file is not None else ""
    return ScaleRow(
        image.id,
        image.modality,
        "none" if file is None else f"{file:.4g} {unit}{source}",
        "none" if table is None or row.scale is None else f"{table:.4g} {unit} ({row.scale.source})",
        used,
        "; ".join(notes),
    )
