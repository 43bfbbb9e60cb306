"""From receipts to what the report is written from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from nephroscale.store.receipts import Receipt


def gather(
    receipts: Iterable[Receipt],
    find: Callable[[str, str], Path | None],
    images: dict[str, list[str]],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Sort receipts into what :func:`nephroscale.reporting.report.write_report` takes.

    Parameters
    ----------
    receipts
        Of every stage before the report.
    find
        The object of a stage and unit, or None.
    images
        Image id to patient id and modality.
    settings
        ``title``, ``classes``, ``notes``, ``looks``, ``ordinal`` and ``models`` (name to settings).
    """
    stages: dict[str, list[dict[str, Any]]] = {}
    for receipt in receipts:
        entry = {"name": receipt.unit, "status": receipt.status, "reason": receipt.reason, "figures": receipt.figures}
        stages.setdefault(receipt.stage, []).append(entry)
    return {
        "title": settings["title"],
        "classes": settings["classes"],
        "notes": settings["notes"],
        "looks": settings["looks"],
        "stages": stages,
        "models": {
            name: {"settings": model, "folds": _folds_of(name, stages.get("evaluate", []), find)}
            for name, model in settings["models"].items()
        },
        "slides": [slide for entry in stages.get("glomeruli", []) if (slide := _slide(entry, images, find))],
        "tem": {entry["name"]: path for entry in stages.get("tem", []) if (path := find("tem", str(entry["name"])))},
        "folds": find("folds", "cohort"),
        "ordinal": settings["ordinal"],
        "external": {
            str(entry["name"]).partition("/")[0]: path
            for entry in stages.get("predict", [])
            if (path := find("predict", str(entry["name"])))
        },
    }


def _folds_of(
    model: str, entries: list[dict[str, Any]], find: Callable[[str, str], Path | None]
) -> list[dict[str, Any]]:
    """Each fold and seed of a model, with the objects of its evaluation and training."""
    found = []
    for unit in (str(entry["name"]) for entry in entries):
        name, _, rest = unit.partition("/fold")
        if name == model:
            fold, _, seed = rest.partition("-seed")
            objects = {stage: find(stage, unit) for stage in ("evaluate", "train", "temperature")}
            found.append({"fold": fold, "seed": int(seed), **objects})
    return found


def _slide(
    entry: dict[str, Any], images: dict[str, list[str]], find: Callable[[str, str], Path | None]
) -> dict[str, Any] | None:
    """Find an OM slide's pictures; the overlay bears its own scale bar."""
    image = str(entry["name"])
    patient, modality = images[image]
    tiles, glomeruli = find("tiles", image), find("glomeruli", image)
    if modality != "OM" or tiles is None:
        return None
    return {
        "image_id": image,
        "patient_id": patient,
        "thumbnail": tiles / "thumbnail.png",
        "overlay": glomeruli / "overlay.png" if glomeruli else None,
        "tiles": tiles,
        "figures": entry["figures"],
    }
