"""From tables and receipts to the patients whom an ensemble is asked about, and to its members."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nephroscale.evaluation.out_of_range import known_ranges, list_out_of_range
from nephroscale.evaluation.predict import Case, Member
from nephroscale.evaluation.temperature import read_temperature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from nephroscale.store.receipts import Receipt


def list_members(units: Sequence[str], find: Callable[[str, str], Path | None]) -> list[Member]:
    """Find the networks and temperatures of units ``<model>/fold<n>-seed<n>``."""
    members = []
    for unit in units:
        fold, _, seed = unit.partition("/fold")[2].partition("-seed")
        weights, calibration = find("train", unit), find("temperature", unit)
        assert weights is not None
        assert calibration is not None
        members.append(Member(fold, int(seed), weights, read_temperature(calibration)))
    return members


def list_cases(
    rows: Mapping[str, Any],
    receipts: Iterable[Receipt],
    find: Callable[[str, str], Path | None],
    modalities: Sequence[str],
) -> dict[str, Case]:
    """Say who is asked about, what each lacks and what is unusual.

    Parameters
    ----------
    rows
        ``patients``: case to ``patient``, ``biopsy``, ``label``, ``second`` and ``images`` (id to modality); ``study``:
        modality of each image of the patients in the folds.
    receipts
        Of the cases' features, the tiles of their fluorescence, and everybody's register.
    find
        The object of a stage and unit, or None.
    modalities
        Those that the model reads.
    """
    by_unit = {(receipt.stage, receipt.unit): receipt for receipt in receipts}
    facts: dict[str, Any] = {}
    for stage, unit in by_unit:
        if stage == "register" and (path := find(stage, unit)):
            facts |= json.loads(path.read_text(encoding="utf-8"))
    ranges = known_ranges(_of_study(rows["study"], facts, modalities))
    asked = {}
    for case, row in rows["patients"].items():
        missing = {}
        for modality in modalities:
            receipt = by_unit[("features", f"{case}-{modality}")]
            if not receipt.accepted:
                missing[modality] = receipt.reason or "no reason given"
        images = {image: (m, facts[image]) for image, m in row["images"].items() if m in modalities and image in facts}
        pattern_only = [
            image
            for image in images
            if (tiles := by_unit.get(("tiles", image))) and tiles.figures.get("calibration") == "pattern-only"
        ]
        cautions = list_out_of_range(missing, images, ranges, pattern_only)
        asked[case] = Case(row["patient"], row["biopsy"], row["label"], row["second"], missing, cautions)
    return asked


def _of_study(
    study: Mapping[str, str], facts: Mapping[str, Any], modalities: Sequence[str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for image, modality in study.items():
        if image in facts and modality in modalities:
            yield modality, facts[image]
