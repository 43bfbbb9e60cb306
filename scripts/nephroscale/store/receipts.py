"""Receipts: the small files that rules write, each with a link to its object."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from nephroscale.json_text import JSON, pretty_json
from nephroscale.store.disk import full_disk, read_file
from nephroscale.store.objects import Store


@dataclass(frozen=True)
class Receipt:
    """The result of a unit. Equal content gives an equal receipt: it contains no time, host, recipe or path.

    Parameters
    ----------
    stage, unit
        Name of the stage, and the patient, image, cohort or model/fold/seed that the artifact belongs to.
    status
        ``accepted``, or ``rejected`` with the `reason`.
    digest, kind, size
        Of the object; None, None and 0 where the unit was rejected.
    figures
        A few values for people and for the report.
    parts
        Digests of parts of the object, where later stages depend on single parts.
    """

    stage: str
    unit: str
    status: str
    reason: str | None = None
    digest: str | None = None
    kind: str | None = None
    size: int = 0
    figures: Mapping[str, JSON] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """Whether there is an object."""
        return self.status == "accepted"

    def as_json(self) -> dict[str, object]:
        """The receipt as a JSON object."""
        return dict(vars(self))

    def text(self) -> str:
        """The receipt's file."""
        return pretty_json(self.as_json())


def read_receipt(path: Path | str) -> Receipt | None:
    """Read a receipt; None where the file is missing or is not a complete receipt."""
    try:
        with open(path, "rb") as stream:  # noqa: PTH123  (read for every artifact)
            return Receipt(**orjson.loads(stream.read()))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None


def settle_receipt(path: Path, link: Path, receipt: Receipt, store: Store) -> None:
    """Write a receipt and its link if they are missing or differ: first the link, then the receipt, each atomically.

    Parameters
    ----------
    path, link
        Of the receipt, and of the link to its object.
    receipt
        What to write.
    store
        The store of the object.
    """
    target = store.relative_path(receipt.digest, link.parent)
    if link_target(link) == target and holds(path, receipt):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    new_link = link.with_name(f".{link.name}.{os.getpid()}.tmp")
    try:
        with full_disk(path.parent):
            temporary.write_text(receipt.text(), encoding="utf-8")
            if target:
                new_link.unlink(missing_ok=True)
                new_link.symlink_to(target)
                new_link.replace(link)
            else:
                link.unlink(missing_ok=True)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
        new_link.unlink(missing_ok=True)


def link_target(link: Path | str) -> str | None:
    """The target of a link as it is written in it; None if there is no link."""
    try:
        return os.readlink(link)  # noqa: PTH115  (once for every receipt of a cohort: plain calls are faster)
    except OSError:
        return None


def holds(path: Path | str, receipt: Receipt) -> bool:
    """Whether a file contains this receipt."""
    return time_where_held(path, receipt) is not None


def time_where_held(path: Path | str, receipt: Receipt) -> int | None:
    """The modification time of a file that contains this receipt, in nanoseconds since the epoch; else None."""
    try:
        content, state = read_file(path)
        return state.st_mtime_ns if orjson.loads(content) == receipt.as_json() else None
    except (OSError, ValueError):
        return None


def raise_time(path: Path | str, not_before_ns: int) -> None:
    """Raise the modification time of an older file to a time in nanoseconds since the epoch.

    Snakemake does not take a receipt for older than its inputs then (times as floats may differ in their last bits).
    """
    if os.stat(path).st_mtime_ns < not_before_ns:  # noqa: PTH116
        os.utime(path, ns=(not_before_ns, not_before_ns))
