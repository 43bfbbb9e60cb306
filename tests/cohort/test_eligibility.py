"""Patients in the folds if a bag was rejected."""

import json
from pathlib import Path
from typing import Any

import pytest

from nephroscale.cohort.eligibility import EligibilitySettings, write_folds
from nephroscale.cohort.patient import PatientRow

MISSING = {"P1": {"IM": "no slide"}, "P2": {"TEM": "too dark", "OM": "unreadable", "IM": "no reason given"}}


def divided(out: Path, policy: str) -> tuple[dict[str, Any], dict[str, Any]]:
    labels = {f"P{i}": "AB"[i % 2] for i in range(12)}
    rows = [PatientRow(who, label, text=label) for who, label in labels.items()]
    settings = EligibilitySettings.from_mapping(
        {
            "folds": {"scheme": "stratified", "n_folds": 2, "validation_fraction": 0.3},
            "classes": ["A", "B"],
            "min_per_class": 2,
            "permute_labels": None,
            "meanings": {"A": "A", "B": "B"},
            "mixed": "exclude",
            "missing_modalities": policy,
            "modalities": ["TEM", "OM", "IM"],
        }
    )
    figures, _ = write_folds(rows, MISSING, settings, 1, out)
    return figures, json.loads((out / "folds.json").read_text())


def test_by_default_patients_with_a_rejected_bag_are_excluded(tmp_path: Path) -> None:
    figures, table = divided(tmp_path / "folds", "exclude")
    assert table["excluded"] == {"P1": "no IM: no slide", "P2": "no IM: no reason given"}
    assert table["lacking"] == {}
    assert "lacking" not in figures
    assert not {"P1", "P2"} & set(table["labels"])


@pytest.mark.parametrize("patient", ["P1", "P2"])
def test_with_a_mask_one_modality_is_enough(tmp_path: Path, patient: str) -> None:
    figures, table = divided(tmp_path / "folds", "mask")
    assert table["lacking"] == figures["lacking"] == {"P1": {"IM": "no slide"}}
    assert (patient in table["labels"]) == (patient == "P1")
    assert table["excluded"] == {"P2": "no IM: no reason given"}
