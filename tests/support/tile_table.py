"""Reading the table of a slide's tiles."""

import csv
from pathlib import Path


def read_tile_table(tiles: Path) -> list[dict]:
    """Rows of `tiles.csv`: row, column, x, y (int), status, tissue_fraction, focus (float or None)."""
    with (tiles / "tiles.csv").open(encoding="utf-8", newline="") as file:
        return [
            {
                **{key: int(row[key]) for key in ("row", "column", "x", "y")},
                "status": row["status"],
                "tissue_fraction": float(row["tissue_fraction"]),
                "focus": float(row["focus"]) if row["focus"] else None,
            }
            for row in csv.DictReader(file)
        ]
