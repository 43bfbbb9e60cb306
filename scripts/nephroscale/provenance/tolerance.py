"""The numerical distance of two objects whose bytes differ."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from nephroscale.store.digest import digest_file, list_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np

#: Numbers with |a - b| <= ABSOLUTE + RELATIVE * |b| are equal within the tolerance (float32 after many layers).
ABSOLUTE, RELATIVE = 1e-5, 1e-3


@dataclass(frozen=True)
class Distance:
    """The distance of two objects.

    Attributes
    ----------
    files
        Files that differ, or that only one object has.
    largest
        Largest |a - b| of any number in them; None where no numbers could be compared.
    beyond
        Largest |a - b| / (ABSOLUTE + RELATIVE |b|); at most 1 is within the tolerance.
    unlike
        Differing files that are not numbers of one shape: texts, pictures, and files that only one object has.
    """

    files: list[str]
    largest: float | None
    beyond: float
    unlike: list[str]

    @property
    def within(self) -> bool:
        """Whether only numbers differ, and these within the tolerance."""
        return not self.unlike and self.beyond <= 1

    def sentence(self) -> str:
        """Describe the distance in words."""
        if not self.files:
            return "equal to the byte"
        text = f"{len(self.files)} files differ ({', '.join(self.files[:4])}{', ...' if len(self.files) > 4 else ''})"
        if self.largest is not None:
            verdict = "within" if self.beyond <= 1 else "beyond"
            text += f", numbers by at most {self.largest:.3g}, {verdict} {ABSOLUTE:g} + {RELATIVE:g} |b|"
        return text + (f"; not comparable: {', '.join(self.unlike[:4])}" if self.unlike else "")


def measure_distance(left: Path, right: Path) -> Distance:
    """Compare two objects file by file.

    Parameters
    ----------
    left, right
        Two files, or two directories; ``b`` of the bound is `right`.
    """
    names = [{name for name, _ in list_files(side)} for side in (left, right)]
    differing = sorted(names[0] ^ names[1])
    unlike, largest, beyond = list(differing), None, 0.0
    for name in sorted(names[0] & names[1]):
        pair = (left / name, right / name) if name else (left, right)
        if digest_file(pair[0]) == digest_file(pair[1]):
            continue
        differing.append(name or "the file")
        found = _distance_of_numbers(*pair)
        if found is None:
            unlike.append(name or "the file")
        else:
            largest = max(largest or 0.0, found[0])
            beyond = max(beyond, found[1])
    return Distance(sorted(differing), largest, beyond, sorted(unlike))


def _distance_of_numbers(left: Path, right: Path) -> tuple[float, float] | None:
    """Largest difference, absolute and as a multiple of the bound; None where the files cannot be compared."""
    import numpy as np

    try:
        pairs = list(zip(_arrays(left), _arrays(right), strict=True))
    except (ValueError, KeyError, TypeError, UnicodeDecodeError):
        return None
    largest = beyond = 0.0
    for (name, a), (other, b) in pairs:
        if name != other or a.shape != b.shape or a.dtype.kind not in "fiub" or a.dtype != b.dtype:
            return None
        if a.size:
            x, y = a.astype(np.float64), b.astype(np.float64)
            gap = np.where((x == y) | (np.isnan(x) & np.isnan(y)), 0.0, np.abs(x - y))
            if not np.isfinite(gap).all():
                return None
            largest = max(largest, float(gap.max()))
            beyond = max(beyond, float((gap / (ABSOLUTE + RELATIVE * np.abs(y))).max()))
    return (largest, beyond) if pairs else None


def _arrays(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Read the numbers of a file by name: safetensors, JSON, CSV, or an uncompressed chunk of a Zarr array."""
    import numpy as np

    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        yield from sorted(load_file(path).items())
    elif path.suffix == ".json":
        yield from _leaves(json.loads(path.read_bytes()))
    elif path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as stream:
            yield from _leaves([[_number(cell) for cell in row] for row in csv.reader(stream)])
    else:
        metadata = json.loads((_array_of_chunk(path) / "zarr.json").read_bytes())
        if any(codec["name"] not in {"bytes"} for codec in metadata["codecs"]):
            raise ValueError("a compressed chunk cannot be read alone")
        yield "chunk", np.fromfile(path, np.dtype(metadata["data_type"]))


def _array_of_chunk(path: Path) -> Path:
    """The folder of the Zarr array that a chunk file belongs to."""
    for folder in path.parents:
        if folder.name == "c":
            return folder.parent
    raise ValueError("not a chunk")


def _number(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell


def _leaves(value: object, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Walk a JSON value; texts become part of the name, so that files with different texts are not compared."""
    import numpy as np

    if isinstance(value, dict):
        for key in sorted(value):
            yield from _leaves(value[key], f"{name}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{name}[{index}]")
    elif isinstance(value, bool | str) or value is None:
        yield f"{name}={value}", np.zeros(0)
    else:
        yield name, np.array(float(cast("float", value)))
