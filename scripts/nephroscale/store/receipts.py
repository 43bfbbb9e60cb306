"""Receipts: the small files that rules output, each with a link to its object beside it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from nephroscale.store.digest import pretty_json
from nephroscale.store.disk import full_disk

if TYPE_CHECKING:
    from pathlib import Path

    from nephroscale.store.objects import Store


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

    def as_json(self) -> dict[str, Any]:
        """The receipt as a JSON value."""
        return dict(vars(self))

    def text(self) -> str:
        """The receipt's file."""
        return pretty_json(self.as_json())

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Receipt:
        """Rebuild a receipt from its JSON value."""
        return cls(**value)


def read_receipt(path: Path | str) -> Receipt | None:
    """Read a receipt; None where it is absent or not a whole receipt."""
    try:
        with open(path, "rb") as stream:  # noqa: PTH123  (quicker, and asked for of every artifact)
            return Receipt.from_json(orjson.loads(stream.read()))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None


def settle_receipt(path: Path, link: Path, receipt: Receipt, store: Store, not_before_ns: int = 0) -> bool:
    """Write a receipt and its link where they are missing or different: first the link, then the receipt, each at once.

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

    Returns
    -------
    bool
        Whether anything but the time had to be written.
    """
    target = os.path.relpath(store.object_path(receipt.digest), link.parent) if receipt.digest else None
    if _link_target(link) == target and _says(path, receipt):
        raise_time(path, not_before_ns)
        return False
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
    raise_time(path, not_before_ns)
    return True


def _link_target(link: Path) -> str | None:
    try:
        return os.readlink(link)  # noqa: PTH115  (once for every receipt of a cohort: plain calls are faster)
    except OSError:
        return None


def _says(path: Path, receipt: Receipt) -> bool:
    """Whether a receipt's file is there and says the same."""
    try:
        return bool(orjson.loads(path.read_bytes()) == receipt.as_json())
    except (OSError, ValueError):
        return False


def raise_time(path: Path, not_before_ns: int) -> None:
    """Bring a file that is older than a time (nanoseconds since the epoch) to it."""
    if os.stat(path).st_mtime_ns < not_before_ns:  # noqa: PTH116
        os.utime(path, ns=(not_before_ns, not_before_ns))


def unlink_receipt(path: Path, link: Path) -> None:
    """Take a receipt away, and its link: nothing is lost, the object stays in the store."""
    link.unlink(missing_ok=True)
    path.unlink(missing_ok=True)
