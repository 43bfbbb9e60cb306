"""Past reports: every report that was ever finished stays under a number, with its page and figures."""

from __future__ import annotations

from pathlib import Path

from nephroscale.store.objects import Store
from nephroscale.store.receipts import Receipt, read_receipt, settle_receipt
from nephroscale.store.results_index import REPORTS


def past_reports(results: Path) -> dict[int, Receipt]:
    """The receipts of all numbered reports of a results folder, by number."""
    found = {int(path.stem): read_receipt(path) for path in (results / REPORTS).glob("*.json") if path.stem.isdecimal()}
    return {number: receipt for number, receipt in sorted(found.items()) if receipt}


def keep_report(results: Path, receipt: Receipt, store: Store) -> None:
    """Keep a finished report under the next number, unless an equal one has a number."""
    past = past_reports(results)
    if not receipt.accepted or any(receipt.digest == each.digest for each in past.values()):
        return
    path = results / REPORTS / f"{max(past, default=0) + 1}.json"
    settle_receipt(path, path.with_suffix(""), receipt, store)


def delete_reports(results: Path, before: int) -> list[int]:
    """Delete the past reports with a number below `before`; the objects stay until garbage is collected.

    Returns
    -------
    list of int
        The numbers of the deleted ones.
    """
    old = [number for number in past_reports(results) if number < before]
    for number in old:
        path = results / REPORTS / f"{number}.json"
        path.with_suffix("").unlink(missing_ok=True)
        path.unlink()
    return old
