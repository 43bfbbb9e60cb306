"""Registering a patient's raw images: the facts of each, and whether it can be read at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nephroscale.errors import Rejected
from nephroscale.slides.facts import describe
from nephroscale.store.digest import digest_json, pretty_json

if TYPE_CHECKING:
    from pathlib import Path


def register_images(images: dict[str, dict[str, Any]], out: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Write the facts of a patient's images.

    Parameters
    ----------
    images
        Image id to ``path`` (of the link to the raw file), ``row`` (of the table), ``digest`` of the raw bytes, and
        ``annotation`` (digest of the annotation's bytes, or None).
    out
        JSON file to write: image id to facts, ``status`` being ``accepted`` or ``rejected`` with a ``reason``.

    Returns
    -------
    figures
        Counts, and the reasons of the rejected.
    parts
        A digest for each image's facts and for each annotation.
    """
    facts: dict[str, dict[str, Any]] = {}
    parts: dict[str, str] = {}
    for name, image in sorted(images.items()):
        try:
            described = {"status": "accepted", **describe(image["path"], image["row"]["modality"], image["row"])}
        except Rejected as verdict:
            described = {"status": "rejected", "reason": verdict.reason}
        facts[name] = {**described, "digest": image["digest"]}
        parts[name] = digest_json(facts[name])
        if image["annotation"]:
            parts[f"{name}.annotation"] = image["annotation"]
    out.write_text(pretty_json(facts), encoding="utf-8")
    rejected = {name: entry["reason"] for name, entry in facts.items() if entry["status"] == "rejected"}
    return {"images": len(facts), "rejected_images": rejected}, parts
