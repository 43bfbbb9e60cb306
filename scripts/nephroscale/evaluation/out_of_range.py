"""What should make one read a prediction with caution: what is missing, and what the networks were not used to."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SLACK = 1.25
"""So many times beyond the range of the training patients a scale or field may lie before it is told."""


def known_ranges(facts: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, dict[str, tuple[float, float]]]:
    """Find out which scales and fields the patients of the folds have.

    Parameters
    ----------
    facts
        Modality and facts (an entry of ``register.json``) of each of their images; rejected ones are passed over.

    Returns
    -------
    dict
        Modality to quantity to its least and largest value: `scale`, µm per pixel (OM, IM) or nm per pixel (TEM), and
        for TEM `field`, the width of the image in µm.
    """
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for modality, entry in facts:
        for quantity, value in _quantities(modality, entry).items():
            low, high = found.setdefault(modality, {}).get(quantity, (math.inf, -math.inf))
            found[modality][quantity] = (min(low, value), max(high, value))
    return found


def list_out_of_range(
    missing: Mapping[str, str],
    images: Mapping[str, tuple[str, Mapping[str, Any]]],
    ranges: Mapping[str, Mapping[str, tuple[float, float]]],
    pattern_only: Iterable[str],
) -> list[str]:
    """Say in words what is unusual about a patient; empty where nothing is.

    Parameters
    ----------
    missing
        Modality that the patient lacks to the reason.
    images
        Image id to modality and facts.
    ranges
        As :func:`known_ranges` gives them.
    pattern_only
        Fluorescence images whose exposure is not known.
    """
    told = [f"{modality} is missing: {reason}" for modality, reason in missing.items()]
    for image, (modality, entry) in images.items():
        if entry.get("status") == "rejected":
            told.append(f"{image} was rejected: {entry.get('reason')}")
            continue
        for quantity, value in _quantities(modality, entry).items():
            low, high = ranges.get(modality, {}).get(quantity, (value, value))
            if not low / SLACK <= value <= high * SLACK:
                unit = "µm wide" if quantity == "field" else "nm per pixel" if modality == "TEM" else "µm per pixel"
                told.append(f"{image} is {value:.3g} {unit}; the networks were trained on {low:.3g} to {high:.3g}")
        if "scale" in ranges.get(modality, {}) and not entry.get("scale"):
            told.append(f"{image} has no known scale")
    told += [
        f"{image} is pattern-only: its exposure is unknown, so its brightness means nothing" for image in pattern_only
    ]
    return told


def _quantities(modality: str, entry: Mapping[str, Any]) -> dict[str, float]:
    scale = entry.get("scale")
    if entry.get("status") == "rejected" or not scale or not scale.get("value") or scale.get("source") == "whole":
        return {}
    value = float(scale["value"])
    return {"scale": value, **({"field": value * entry["width"] / 1000} if modality == "TEM" else {})}
