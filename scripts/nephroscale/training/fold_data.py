"""The patients of one fold with their bags: the input of training, calibration and evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nephroscale.cohort.fold_table import SIDES, FoldSides, FoldTable, Side
from nephroscale.errors import NephroscaleError
from nephroscale.training.data import Bag, BagSource

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from nephroscale.training.tem_priors import TemPriors


@dataclass(frozen=True)
class FoldData:
    """One fold of a cohort, and the stored features of its patients.

    Attributes
    ----------
    folds
        The table of folds.
    name
        Name of the fold.
    features
        Patient id to modality to the Zarr group of the stage `features`; only the features of the sides that are opened
        are read.
    negatives
        Patient id to the slots of the IM panel whose markers were found negative and not photographed.
    priors
        Priors of TEM images; None without.
    """

    folds: FoldTable
    name: str
    features: Mapping[str, Mapping[str, Path]]
    negatives: Mapping[str, Sequence[int]] = field(default_factory=dict)
    priors: TemPriors | None = None

    @property
    def fold(self) -> FoldSides:
        """The patients of the three sides."""
        return self.folds.fold(self.name)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their indices."""
        return self.folds.classes

    def bags(self, side: Side, modalities: Collection[str], *, max_tem_instances: int = 10, seed: int = 0) -> list[Bag]:
        """Open the bags of one side, in the order of the patients' ids.

        Parameters
        ----------
        side
            `train`, `validation` or `test`.
        modalities
            Which of TEM, OM and IM.
        max_tem_instances, seed
            As in :meth:`nephroscale.training.data.BagSource.open`.

        Raises
        ------
        NephroscaleError
            When the side is empty, one of its patients is on another side too or has no class, or a patient has no
            features of a modality and is not known to lack it.
        """
        patients = sorted(self.fold.side(side))
        self._check(side, patients)
        folds = self.folds
        source = BagSource(self.features, folds.labels, folds.second, folds.lacking, self.negatives, self.priors)
        return source.open(patients, modalities, max_tem_instances=max_tem_instances, seed=seed)

    def _check(self, side: Side, patients: list[str]) -> None:
        where = f"folds.json, fold {self.name}"
        if not patients:
            raise NephroscaleError(
                f"No patient is on the {side} side of the split.", where=where, fix="Add patients, or use fewer folds."
            )
        for other in SIDES:
            both = sorted(set(patients) & set(self.fold.side(other)))
            if other != side and both:
                raise NephroscaleError(
                    f"Patients are on two sides of the split, {side} and {other}: {', '.join(both)}.",
                    where=where,
                    fix="Make the folds again; a patient has to be on one side.",
                )
        unknown = [who for who in patients if not 0 <= self.folds.labels.get(who, -1) < len(self.classes)]
        if unknown or len(set(patients)) < len(patients):
            raise NephroscaleError(
                f"Patients of the fold have no class: {', '.join(unknown)}."
                if unknown
                else f"A patient is named twice on the {side} side of the split.",
                where=where,
                fix="Make the folds again.",
            )
