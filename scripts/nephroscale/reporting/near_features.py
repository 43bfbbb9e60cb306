"""Patients with like features, from the bags of the stage `features`."""

from __future__ import annotations

import numpy as np

from nephroscale.arrays import read_array
from nephroscale.cohort.fold_table import FoldTable
from nephroscale.evaluation.near_patients import NearPatients, find_near_patients, pool_instances
from nephroscale.reporting.report_inputs import ReportInputs

MODALITIES = ("OM", "TEM")
"""A bag of IM has one instance of each marker: it shows the panel rather than the patient."""


def list_near_patients(inputs: ReportInputs, folds: FoldTable) -> list[NearPatients]:
    """Look for pairs of cases in the folds whose features stand out as near each other, in each modality.

    Bags of pixels are left out: the mean of pixels says little about a patient. A modality of fewer than two cases is
    left out, too.
    """
    person = folds.people | folds.groups
    found = []
    for modality in MODALITIES:
        pooled = {
            case: pool_instances(features)
            for (case, other), path in sorted(inputs.features.items())
            if other == modality
            and case in folds.labels
            and (features := np.asarray(read_array(path, "features"))).dtype != np.uint8
            and len(features)
        }
        if len(pooled) > 1:
            found.append(find_near_patients(pooled, person, modality))
    return found
