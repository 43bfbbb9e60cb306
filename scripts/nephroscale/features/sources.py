"""Which objects a patient's bag is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nephroscale.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from nephroscale.store.receipts import Receipt


def choose_sources(
    rows: dict[str, Any],
    receipts: Iterable[Receipt],
    find: Callable[[str, str], Path | None],
    settings: dict[str, Any],
) -> list[dict[str, Any]]:
    """Choose by what is declared, never by a label.

    OM: the glomeruli of every slide of the best stain at hand (`settings["stains"]`, best first). IM: each image, in
    the slot that its marker has in the panel (`settings["panel"]`). TEM: the patient's bag.

    Parameters
    ----------
    rows
        ``patient``, ``modality`` and ``images``: image id to row of the table.
    receipts
        Of the glomeruli of each image, or of the bag.
    find
        The path of an object by stage and unit.
    settings
        Of the stage.

    Returns
    -------
    list of dict
        ``image_id``, ``path``, ``slot``, in the order of the image ids.

    Raises
    ------
    Rejected
        When nothing is left, naming why each image fell away.
    """
    receipts = list(receipts)
    modality, images = rows["modality"], rows["images"]
    usable = {r.unit: path for r in receipts if r.accepted and (path := find(r.stage, r.unit))}
    if modality == "TEM":
        return [{"image_id": rows["patient"], "path": path, "slot": 0} for path in usable.values()]
    if not usable:
        if not receipts:
            raise Rejected(f"no {modality} image that may serve is in the tables")
        reasons = "; ".join(f"{r.unit}: {r.reason}" for r in receipts)
        because = receipts[0].figures.get("because", f"{receipts[0].stage}/{receipts[0].unit}")  # the first cause
        raise Rejected(f"no usable {modality} image ({reasons})", because=because)
    if modality == "OM":
        best = min((images[image]["stain"] for image in usable), key=settings["stains"].index)
        chosen = {image: 0 for image in usable if images[image]["stain"] == best}
    else:
        chosen = {image: settings["panel"].index(images[image]["marker"]) for image in usable}
    return [{"image_id": image, "path": usable[image], "slot": slot} for image, slot in sorted(chosen.items())]
