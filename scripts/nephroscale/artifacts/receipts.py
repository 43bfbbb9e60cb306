"""Receipts: the small files that rules output, each with a link to its object beside it."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from nephroscale.artifacts.digest import pretty_json

if TYPE_CHECKING:
    from pathlib import Path

    from nephroscale.artifacts.store import Store


@dataclass(frozen=True)
class Receipt:
    """What a unit of work gave: equal content, equal receipt, so no time, host, recipe or path is in it.

    Parameters
    ----------
    stage, unit
        What was made: the stage's name, and the patient, image, cohort or model/fold/seed it was made for.
    status
        ``accepted``, or ``rejected`` with the `reason`.
    digest, kind, size
        Of the object; None, None, 0 where rejected.
    figures
        A few JSON values that people and the report read.
    parts
        Digests of parts of the object that later stages depend on one by one.
    """

    stage: str
    unit: str
    status: str
    reason: str | None = None
    digest: str | None = None
    kind: str | None = None
    size: int = 0
    figures: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """Whether there is an object."""
        return self.status == "accepted"

    def text(self) -> str:
        """The receipt's file."""
        return pretty_json(asdict(self))

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Receipt:
        """Rebuild a receipt from its JSON value."""
        return cls(**value)


def read_receipt(path: Path) -> Receipt | None:
    """Read a receipt; None where it is absent or not a whole receipt."""
    try:
        return Receipt.from_json(json.loads(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None


def settle_receipt(path: Path, link: Path, receipt: Receipt, store: Store, not_before_ns: int = 0) -> None:
    """Write a receipt and its link where they are missing or different, in the order old link, new link, receipt.

    Parameters
    ----------
    path, link
        Of the receipt, and of the link to its object.
    receipt
        What both have to say afterwards.
    store
        Where the object lies.
    not_before_ns
        Nanoseconds since the epoch: an older receipt is brought to this time, so that Snakemake never takes it for
        older than its inputs (as floats, two times may differ in their last bits).
    """
    text = receipt.text()
    target = os.path.relpath(store.object_path(receipt.digest), link.parent) if receipt.digest else None
    with contextlib.suppress(OSError):
        current = str(link.readlink()) if link.is_symlink() else None
        if current == target and path.read_text() == text:
            raise_time(path, not_before_ns)
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    if target:
        link.symlink_to(target)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text)
    temporary.replace(path)
    raise_time(path, not_before_ns)


def raise_time(path: Path, not_before_ns: int) -> None:
    """Bring a file that is older than a time (nanoseconds since the epoch) to it."""
    if path.stat().st_mtime_ns < not_before_ns:
        os.utime(path, ns=(not_before_ns, not_before_ns))


def unlink_receipt(path: Path, link: Path) -> None:
    """Take a receipt away, and its link: nothing is lost, the object stays in the store."""
    link.unlink(missing_ok=True)
    path.unlink(missing_ok=True)
