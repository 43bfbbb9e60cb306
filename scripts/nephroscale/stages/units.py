"""Units of work whose names have parts: each text form is written and parsed here alone."""

from __future__ import annotations

from typing import NamedTuple


class PatientModality(NamedTuple):
    """A patient and a modality: ``P01-TEM``."""

    patient: str
    modality: str

    def __str__(self) -> str:
        return f"{self.patient}-{self.modality}"

    @classmethod
    def parse(cls, unit: str) -> PatientModality:
        """Read the text form; a patient's id may contain hyphens, a modality may not."""
        patient, _, modality = unit.rpartition("-")
        return cls(patient, modality)


class ModelRun(NamedTuple):
    """One training of a model: ``cmusnet/fold0-seed1``."""

    model: str
    fold: int
    seed: int

    def __str__(self) -> str:
        return f"{self.model}/fold{self.fold}-seed{self.seed}"

    @classmethod
    def parse(cls, unit: str) -> ModelRun:
        """Read the text form."""
        model, _, rest = unit.partition("/fold")
        fold, _, seed = rest.partition("-seed")
        return cls(model, int(fold), int(seed))

    @property
    def model_fold(self) -> ModelFold:
        """The trainings of the same model on the same fold, this one among them."""
        return ModelFold(self.model, self.fold)


class ModelFold(NamedTuple):
    """All trainings of a model on one fold: ``cmusnet/fold0``."""

    model: str
    fold: int

    def __str__(self) -> str:
        return f"{self.model}/fold{self.fold}"

    @classmethod
    def parse(cls, unit: str) -> ModelFold:
        """Read the text form."""
        model, _, fold = unit.partition("/fold")
        return cls(model, int(fold))


class PatientSet(NamedTuple):
    """A model's ensemble and the set of patients that it predicts: ``cmusnet/external``, or a batch of new ones."""

    model: str
    patients: str

    def __str__(self) -> str:
        return f"{self.model}/{self.patients}"

    @classmethod
    def parse(cls, unit: str) -> PatientSet:
        """Read the text form."""
        return cls(*unit.split("/"))


class DepositFold(NamedTuple):
    """One seed of one fold, for deposits at a site: ``any/fold0-seed1``."""

    site: str
    fold: int
    seed: int

    def __str__(self) -> str:
        return f"{self.site}/fold{self.fold}-seed{self.seed}"

    @classmethod
    def parse(cls, unit: str) -> DepositFold:
        """Read the text form."""
        return cls(*ModelRun.parse(unit))


class DepositRun(NamedTuple):
    """One training of a variant for deposits at a site: ``any-svm/fold0-seed1``."""

    site: str
    variant: str
    fold: int
    seed: int

    def __str__(self) -> str:
        return f"{self.site}-{self.variant}/fold{self.fold}-seed{self.seed}"

    @classmethod
    def parse(cls, unit: str) -> DepositRun:
        """Read the text form; no site has a hyphen."""
        model, fold, seed = ModelRun.parse(unit)
        site, _, variant = model.partition("-")
        return cls(site, variant, fold, seed)


class SiteBatch(NamedTuple):
    """A site and a batch of new patients: ``any/2026-11``."""

    site: str
    batch: str

    def __str__(self) -> str:
        return f"{self.site}/{self.batch}"

    @classmethod
    def parse(cls, unit: str) -> SiteBatch:
        """Read the text form."""
        return cls(*unit.split("/"))


EXTERNAL = "external"
"""The set of patients with `use: external` in the study's table; any other set is a batch of new patients."""
