"""Patients with like features, from the bags of the stage `features`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nephroscale.arrays import read_array
from nephroscale.evaluation.near_patients import NearPatients, find_near_patients, pool_halves

if TYPE_CHECKING:
    from nephroscale.cohort.fold_table import FoldTable
    from nephroscale.reporting.report_inputs import ReportInputs

MODALITIES = ("OM", "TEM")
"""A bag of IM has one instance of each marker, and no halves."""


def list_near_patients(inputs: ReportInputs, folds: FoldTable) -> list[NearPatients]:
    """List the pairs of cases in the folds whose pooled features are nearer across patients than within them.

    Bags of pixels are left out: the mean of pixels says little about a patient.
    """
    person = folds.people | folds.groups
    found = []
    for modality in MODALITIES:
        halves = {
            case: pooled
            for (case, other), path in sorted(inputs.features.items())
            if other == modality
            and case in folds.labels
            and (features := np.asarray(read_array(path, "features"))).dtype != np.uint8
            and (pooled := pool_halves(features)) is not None
        }
        found += find_near_patients(halves, person, modality)
    return found
