"""Compare the results of two runs: every array, tensor, coordinate, table and number has to be equal to the bit.

    python tests/support/same_results.py BASE NEW [--renamed OLD=NEW]... [--except PATTERN]...

BASE and NEW are results folders, usually of two checkouts: one before a refactoring, one after it. Their receipts name
the objects to compare, and the links beside them lead to the store. Names may differ: a stage, a key or a file may be
renamed, and every rename is printed. Pictures, pages and sentences that differ are printed as warnings. The stage
`audit` is left out, since it describes code. Exit status 0 when all values are equal, 1 when one differs, 2 when there
is nothing to compare.
"""

from __future__ import annotations

import argparse
import csv
import fnmatch
import json
import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import zarr

if TYPE_CHECKING:
    from collections.abc import Iterator

STAGES = {"bags": "tem", "calibrate": "temperature"}
LEFT_OUT = {"audit"}
PICTURES = {".png", ".svg", ".html", ".pdf", ".jpg"}
BLOCK = 1 << 24


@dataclass
class Comparison:
    """What was compared, and what differs.

    Attributes
    ----------
    names
        New name of each renamed stage, key or file.
    excepted
        Patterns of places whose differences do not count.
    counts
        Number of things compared, by kind.
    differences, warnings
        One line for each.
    renames
        How often each pair of names, not given in `names`, was matched because the values are equal.
    """

    names: dict[str, str] = field(default_factory=lambda: dict(STAGES))
    excepted: tuple[str, ...] = ()
    counts: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    renames: Counter[tuple[str, str]] = field(default_factory=Counter)

    def differ(self, place: str, what: str) -> None:
        """Note a difference, unless its place is excepted."""
        if any(fnmatch.fnmatchcase(place, pattern) for pattern in self.excepted):
            self.counts["differences excepted"] += 1
        else:
            self.differences.append(f"{place}: {what}")

    def rename(self, text: str) -> str:
        """Give the new name of a name, or of its part before the first dot."""
        head, dot, tail = text.partition(".")
        return self.names.get(text) or self.names.get(head, head) + dot + tail


@dataclass(frozen=True)
class Unit:
    """A receipt, and the object that it names."""

    status: str
    figures: object
    reason: object
    path: Path | None


def read_units(results: Path) -> dict[str, Unit]:
    """Read all receipts of a results folder, by `stage/unit`, without following links."""
    receipts = {}
    for folder, folders, files in os.walk(results):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in sorted(files):
            path = Path(folder, name)
            if path.suffix == ".json" and not path.is_symlink() and not name.startswith("."):
                content = json.loads(path.read_bytes())
                if isinstance(content, dict) and {"stage", "unit", "status", "digest"} <= content.keys():
                    receipts[path] = content
    store = _find_store(receipts)
    units = {}
    for path, receipt in receipts.items():
        if receipt["stage"] not in LEFT_OUT:
            digest = receipt["digest"]
            target = store / "objects" / digest[:2] / digest if digest and store else None
            figures = receipt.get("figures")
            name = path.relative_to(results).with_suffix("").as_posix()
            units[name] = Unit(receipt["status"], figures, receipt.get("reason"), target)
    return units


def _find_store(receipts: dict[Path, dict]) -> Path | None:
    for path, receipt in receipts.items():
        for link in path.parent.glob(f"{path.stem}*"):
            if link.is_symlink() and receipt["digest"] == link.resolve().name:
                return link.resolve().parents[2]
    return None


def compare(base: Path, new: Path, found: Comparison | None = None) -> Comparison:
    """Compare all units of two results folders."""
    found = found or Comparison()
    olds, news = ({_rename_stage(name, found): unit for name, unit in read_units(path).items()} for path in (base, new))
    for name in sorted(olds.keys() | news.keys()):
        if name not in news:
            found.differ(name, "only in the base")
        elif name not in olds:
            found.differ(name, "only in the new results")
        else:
            found.counts["units"] += 1
            _compare_units(olds[name], news[name], name, found)
    return found


def _rename_stage(name: str, found: Comparison) -> str:
    stage, slash, unit = name.partition("/")
    return found.rename(stage) + slash + unit


def _compare_units(old: Unit, new: Unit, name: str, found: Comparison) -> None:
    if old.status != new.status:
        found.differ(name, f"{old.status} in the base, {new.status} in the new results")
        return
    compare_json(old.figures, new.figures, f"{name}:figures", found)
    if old.reason != new.reason:
        found.warnings.append(f"{name}: the reason was {old.reason!r}, is {new.reason!r}")
    if old.path is None and new.path is None:
        return
    gone = [side for side, path in (("base", old.path), ("new", new.path)) if path is None or not path.exists()]
    if gone:
        found.differ(name, f"no object in the store of: {', '.join(gone)}")
    elif old.path and new.path:
        compare_objects(old.path, new.path, name, found)


def compare_objects(old: Path, new: Path, name: str, found: Comparison) -> None:
    """Compare two artifacts: two files, or two folders file by file and array by array."""
    if old.is_dir() != new.is_dir():
        found.differ(name, "a file on one side, a folder on the other")
    elif old.is_dir():
        for path, one, other in _match_files(old, new, name, found):
            _compare_files(one, other, f"{name}/{path}".rstrip("/"), found)
    else:
        _compare_files(old, new, name, found)


def _list_files(folder: Path) -> Iterator[Path]:
    """List the files of a folder; an array counts as one file, named by its folder, a group by its `zarr.json`."""
    for name, folders, files in os.walk(folder):
        here = Path(name)
        folders.sort()
        if "zarr.json" in files and json.loads((here / "zarr.json").read_bytes())["node_type"] == "array":
            folders.clear()
            yield here.relative_to(folder)
        else:
            yield from (here.relative_to(folder) / file for file in sorted(files))


def _match_files(old: Path, new: Path, name: str, found: Comparison) -> Iterator[tuple[str, Path, Path]]:
    olds, news = (
        {"/".join(map(found.rename, path.parts)) or ".": path for path in _list_files(folder)} for folder in (old, new)
    )
    for path in sorted(olds.keys() & news.keys()):
        yield path, old / olds[path], new / news[path]
    only_old, only_new = sorted(olds.keys() - news.keys()), sorted(news.keys() - olds.keys())
    for path in only_old:
        alike = [other for other in only_new if Path(other).suffix == Path(path).suffix]
        if len(alike) == 1 and sum(Path(other).suffix == Path(path).suffix for other in only_old) == 1:
            only_new.remove(alike[0])
            found.renames[path, alike[0]] += 1
            yield alike[0], old / olds[path], new / news[alike[0]]
        else:
            found.differ(f"{name}/{path}", "only in the base")
    for path in only_new:
        found.differ(f"{name}/{path}", "only in the new results")


def _compare_files(old: Path, new: Path, place: str, found: Comparison) -> None:
    if old.is_dir() and new.is_dir():
        compare_arrays(old, new, place, found)
    elif old.name == "zarr.json":
        found.counts["Zarr groups"] += 1
        old_attributes, new_attributes = (json.loads(path.read_bytes()).get("attributes", {}) for path in (old, new))
        compare_json(old_attributes, new_attributes, f"{place}:attributes", found)
    elif old.suffix in PICTURES:
        found.counts["pictures and pages"] += 1
        if old.read_bytes() != new.read_bytes():
            found.warnings.append(f"{place}: other bytes")
    elif old.suffix == ".csv":
        compare_tables(old, new, place, found)
    elif old.suffix == ".safetensors":
        compare_tensors(old, new, place, found)
    else:
        _compare_documents(old, new, place, found)


def _compare_documents(old: Path, new: Path, place: str, found: Comparison) -> None:
    try:
        contents = [json.loads(path.read_bytes()) for path in (old, new)]
    except ValueError:
        found.counts["other files"] += 1
        if old.read_bytes() != new.read_bytes():
            found.differ(place, "other bytes")
        return
    found.counts["GeoJSON files" if old.suffix == ".geojson" else "JSON files"] += 1
    compare_json(*contents, f"{place}:", found)


def compare_arrays(old: Path, new: Path, place: str, found: Comparison) -> None:
    """Compare two Zarr arrays: type, shape, every value and the attributes."""
    one, other = (zarr.open_array(path, mode="r") for path in (old, new))
    found.counts["arrays"] += 1
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        found.differ(place, f"{one.dtype} {one.shape} in the base, {other.dtype} {other.shape} in the new results")
        return
    found.counts["array values"] += one.size
    rows = max(1, BLOCK // max(1, one.nbytes // max(1, one.shape[0]))) if one.shape else 1
    parts = [np.s_[start : start + rows] for start in range(0, one.shape[0], rows)] if one.shape else [()]
    unequal = 0
    largest = 0.0
    for part in parts:
        try:
            values, others = np.ascontiguousarray(one[part]), np.ascontiguousarray(other[part])
        except (RuntimeError, ValueError, OSError) as error:
            found.differ(place, f"cannot be read: {error}")
            return
        if values.tobytes() != others.tobytes():
            differing = _bytes_of(values) != _bytes_of(others)
            unequal += int(differing.any(axis=-1).sum())
            if values.dtype.kind in "biuf":
                largest = max(largest, float(np.nanmax(np.abs(values.astype(float) - others.astype(float)))))
    if unequal:
        found.differ(place, f"{unequal} of {one.size} values differ, by at most {largest:g}")
    compare_json(dict(one.attrs), dict(other.attrs), f"{place}:attributes", found)


def _bytes_of(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, 1).view(np.uint8).reshape(values.size, -1)


def compare_tensors(old: Path, new: Path, place: str, found: Comparison) -> None:
    """Compare two safetensors files: names, types, shapes and bytes of the tensors, and the metadata."""
    (one, one_metadata), (other, other_metadata) = _read_tensors(old), _read_tensors(new)
    for name in sorted(one.keys() | other.keys()):
        if name not in one or name not in other:
            found.differ(f"{place}:{name}", f"only in the {'new results' if name in other else 'base'}")
            continue
        found.counts["tensors"] += 1
        if one[name][:2] != other[name][:2]:
            found.differ(f"{place}:{name}", f"{one[name][:2]} in the base, {other[name][:2]} in the new results")
        elif one[name][2] != other[name][2]:
            found.differ(f"{place}:{name}", "other values")
    compare_json(one_metadata, other_metadata, f"{place}:metadata", found)


def _read_tensors(path: Path) -> tuple[dict[str, tuple[str, tuple[int, ...], bytes]], object]:
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    metadata = {key: _parse(text) for key, text in header.pop("__metadata__", {}).items()}
    tensors = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        tensors[name] = (entry["dtype"], tuple(entry["shape"]), content[start + first : start + last])
    return tensors, metadata


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def compare_tables(old: Path, new: Path, place: str, found: Comparison) -> None:
    """Compare two CSV tables cell by cell, as text; a column may be renamed, but not moved."""
    tables = []
    for path in (old, new):
        with path.open(newline="", encoding="utf-8") as file:
            tables.append(list(csv.reader(file)))
    one, other = tables
    found.counts["tables"] += 1
    if [len(one), *map(len, one)] != [len(other), *map(len, other)]:
        found.differ(place, f"{len(one)} lines in the base, {len(other)} in the new results, or other columns")
        return
    for number, (row, other_row) in enumerate(zip(one, other, strict=True)):
        for column, (cell, other_cell) in enumerate(zip(row, other_row, strict=True)):
            found.counts["table cells"] += 1
            if cell != other_cell and number == 0:
                found.renames[cell, other_cell] += found.rename(cell) != found.rename(other_cell)
            elif cell != other_cell:
                found.differ(place, f"line {number + 1}, {one[0][column]}: {cell!r}, now {other_cell!r}")


def compare_json(old: object, new: object, place: str, found: Comparison) -> None:
    """Compare two JSON documents; keys may be renamed and sentences may change, numbers and names may not."""
    if isinstance(old, dict) and isinstance(new, dict):
        renamed = [{found.rename(key): value for key, value in side.items()} for side in (old, new)]
        _compare_mappings(*renamed, place, found)
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            found.differ(place, f"{len(old)} items in the base, {len(new)} in the new results")
            return
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            compare_json(one, other, f"{place}[{number}]", found)
    elif isinstance(old, str) and isinstance(new, str):
        found.counts["texts"] += 1
        if found.rename(old) != found.rename(new):
            sentences = any(character.isspace() for character in old + new)
            if sentences or (_is_digest(old) and _is_digest(new)):
                found.warnings.append(f"{place}: was {old!r}, is {new!r}")
            else:
                found.differ(place, f"{old!r} in the base, {new!r} in the new results")
    else:
        found.counts["numbers"] += isinstance(old, int | float) and not isinstance(old, bool)
        if type(old) is not type(new) or repr(old) != repr(new):
            found.differ(place, f"{_short(old)} in the base, {_short(new)} in the new results")


def _compare_mappings(old: dict[str, object], new: dict[str, object], place: str, found: Comparison) -> None:
    for key in sorted(old.keys() & new.keys()):
        compare_json(old[key], new[key], f"{place}.{key}", found)
    only_old, only_new = sorted(old.keys() - new.keys()), sorted(new.keys() - old.keys())
    for key in list(only_old):
        alike = [other for other in only_new if _leaves(old[key], found) == _leaves(new[other], found)]
        if alike:
            _match(old[key], new[alike[0]], (key, alike[0]), place, found)
            only_old.remove(key)
            only_new.remove(alike[0])
    if only_old and _all_leaves(old, only_old, found) == _all_leaves(new, only_new, found):
        found.renames[", ".join(only_old), ", ".join(only_new)] += 1
        found.counts["numbers"] += len(_all_leaves(old, only_old, found))
        return
    for key in only_old:
        found.differ(f"{place}.{key}", f"{_short(old[key])}, only in the base")
    for key in only_new:
        found.differ(f"{place}.{key}", f"{_short(new[key])}, only in the new results")


def _match(old: object, new: object, names: tuple[str, str], place: str, found: Comparison) -> None:
    found.renames[names] += 1
    compare_json(old, new, f"{place}.{names[1]}", found)


def _leaves(document: object, found: Comparison) -> list[str]:
    """List all values of a document, without their keys, in a fixed order."""
    if isinstance(document, dict):
        return sorted(leaf for value in document.values() for leaf in _leaves(value, found))
    if isinstance(document, list):
        return [leaf for value in document for leaf in _leaves(value, found)]
    return [repr(found.rename(document) if isinstance(document, str) else document)]


def _all_leaves(document: dict[str, object], keys: list[str], found: Comparison) -> list[str]:
    return _leaves({key: document[key] for key in keys}, found)


def _is_digest(text: str) -> bool:
    return len(text) == 64 and not set(text) - set("0123456789abcdef")


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 80 else f"{text[:77]}..."


def _pair(text: str) -> tuple[str, str]:
    old, sign, new = text.partition("=")
    if not (old and sign and new):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form OLD=NEW")
    return old, new


def main(arguments: list[str] | None = None) -> int:
    """Compare the folders of the command line, print what was found and give the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path, metavar="BASE", help="results folder before the change")
    parser.add_argument("new", type=Path, metavar="NEW", help="results folder after the change")
    parser.add_argument(
        "--renamed",
        type=_pair,
        action="append",
        default=[],
        metavar="OLD=NEW",
        help=f"a renamed stage, key or file (known: {', '.join(f'{old}={new}' for old, new in STAGES.items())})",
    )
    parser.add_argument(
        "--except",
        dest="excepted",
        action="append",
        default=[],
        metavar="PATTERN",
        help="places whose differences do not count, such as 'train/*/model.json:.settings.*'",
    )
    given = parser.parse_args(arguments)
    found = Comparison(names=STAGES | dict(given.renamed), excepted=tuple(given.excepted))
    compare(given.base, given.new, found)
    if not found.counts["units"] and not found.differences:
        print(f"nothing to compare: no receipts in {given.base} and {given.new}")
        return 2
    for kind, count in sorted(found.counts.items()):
        print(f"{count:>12,} {kind}")
    for (old, new), count in sorted(found.renames.items()):
        if count:
            print(f"renamed: {old} -> {new} ({count} times)")
    for line in found.warnings:
        print(f"warning: {line}")
    for line in found.differences:
        print(f"DIFFERENT: {line}")
    print(f"{len(found.differences)} differences, {len(found.warnings)} warnings")
    return 1 if found.differences else 0


if __name__ == "__main__":
    sys.exit(main())
