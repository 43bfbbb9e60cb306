"""Settings of the cohort: its tables, the task, the folds, and patients to predict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nephroscale.settings import Settings, setting


@dataclass(frozen=True)
class DataSettings(Settings):
    """Paths of the raw images and of the tables."""

    patients: str = setting("Table of patients (CSV or xlsx).")
    images: str = setting("Table of images (CSV or xlsx).")
    root: str = setting("Folder that the paths in images.csv are relative to.", ".")
    encoding: str | None = setting(
        "Encoding of all CSV tables, including those of `predict`: cp1252, gb18030, cp950 (Big5), cp932 (Shift-JIS), "
        "cp949 (EUC-KR) or another that Python knows. Without this key, the encoding of a table that is not UTF-8 is "
        "the one of these five that fits its cells, and is printed; if several fit, the run stops. A table with a "
        "UTF-8 byte-order mark is always read as UTF-8.",
        None,
    )
    instruments: str | None = setting(
        "Table that gives the nm per pixel of an electron microscope at each magnification.", None
    )
    readers: str | None = setting(
        "Table of diagnoses by single readers; the report gives their agreement with each other and with the headline "
        "model.",
        None,
    )


@dataclass(frozen=True)
class TaskSettings(Settings):
    """What is predicted."""

    classes: Mapping[str, str | tuple[str, ...]] = setting(
        "Class of each text of the label column, or `exclude` or `ambiguous`. In an ordinal task, a text may stand "
        "for a label between two neighbouring classes (`I-II: [I, II]`; see `mixed`). Classes are ordered by their "
        "first mention. Without classes, the targets up to `features` work.",
        {},
        values={"minItems": 2, "maxItems": 2},
    )
    preset: Literal["mn_stage"] | None = setting(
        "A predefined task; other keys of `task` take precedence over its keys, and texts in `classes` are added to "
        "its texts. `task: mn_stage` is short for `task: {preset: mn_stage}`: stages I, II, III of membranous "
        "nephropathy in the column `mn_stage`; the meaning of IV has to be given.",
        None,
    )
    label: str = setting("Column of patients.csv with the label.", "diagnosis")
    ordinal: bool = setting(
        "Whether the classes are ordered stages. If so, networks of the family cmusnet have an ordinal head, and the "
        "report has quadratic-weighted kappa and stage errors.",
        default=False,
    )
    mixed: Literal["exclude", "lower", "higher", "soft"] = setting(
        "Use of a patient whose label is between two classes: left out (`exclude`), in the lower or the higher class, "
        "or trained with half the loss of each (`soft`; such patients are predicted, but enter no metric). Folds and "
        "report give their number.",
        "exclude",
    )
    prediction: Literal["softmax", "ordinal", "mean"] = setting(
        "Head whose probabilities are reported in an ordinal task: softmax, ordinal, or the mean of both. "
        "A network without an ordinal head reports its softmax.",
        "softmax",
    )
    missing_modalities: Literal["exclude", "mask"] = setting(
        "Use of a patient without usable images of a modality that some model reads: `exclude` leaves the patient out "
        "of all folds and records the reason; `mask` trains and predicts with the available modalities. "
        "Networks that need every modality skip such patients and report it.",
        "exclude",
    )
    min_per_class: int = setting(
        "Smallest number of eligible patients in a class; with fewer, the run stops.",
        2,
        was="minimum_per_class",
        minimum=2,
    )
    permute_labels: int | None = setting(
        "Seed of a random permutation of the labels among the eligible patients, or their groups: a check for leakage.",
        None,
    )


@dataclass(frozen=True)
class FoldsSettings(Settings):
    """Cross-validation."""

    scheme: Literal["stratified", "leave_one_site_out"] = setting("How patients are assigned to folds.", "stratified")
    n_folds: int = setting(
        "Number of folds. With leave_one_site_out it must equal the number of sites.", 5, was="count", minimum=2
    )
    repeats: int = setting(
        "Number of random divisions into n_folds folds. The results of the report are those of the first division, "
        "whose networks also predict new and external patients. The other divisions show how much the results depend "
        "on the division. Must be 1 with leave_one_site_out, and with tem.prior: deposits.",
        1,
        minimum=1,
    )
    left_out_sites: int = setting(
        "0, or the number of sites of the eligible patients (at least 2): every model is then trained once more for "
        "each site, with this site held out for testing. The report compares the results with those of the stratified "
        "folds. Must be 0 with leave_one_site_out, and with `tem.prior: deposits`.",
        0,
        minimum=0,
    )
    validation_fraction: float = setting(
        "Fraction of a fold's training patients that is held out as validation patients, for choosing the epoch.",
        0.2,
        was="validation",
        above=0,
        below=1,
    )

    @property
    def total(self) -> int:
        """Number of folds of all divisions, and of those that leave a site out."""
        return self.n_folds * self.repeats + self.left_out_sites


@dataclass(frozen=True)
class PredictSettings(Settings):
    """Patients to predict by the trained ensemble of folds and seeds.

    `snakemake predict` predicts new patients; `external` patients of the table of patients are scored with the report.
    """

    patients: str | None = setting(
        "Table of new patients (CSV or xlsx), without labels; of its columns only patient_id is needed.", None
    )
    images: str | None = setting("Table of their images, with the columns of data.images.", None)
    root: str | None = setting(
        "Folder that the paths in predict.images are relative to; data.root when left out.", None
    )
    name: str | None = setting(
        "Name of this batch of new patients (letters, digits, `-` and `_`). Without it, the name is the date (UTC) of "
        "the first prediction of these two tables, with -2 or -3 added if another batch has that date.",
        None,
    )
    package: str | None = setting(
        "Folder of a packaged model, which predicts instead of the networks of the study; `nephroscale predict` sets "
        "it. The tables of `data` are not read then.",
        None,
    )
    external: Literal["open", "locked"] = setting(
        "With `locked`, external patients are predicted only after `nephroscale unlock` has recorded this in the file "
        "`external_opened.json`, in the folder of the table of patients.",
        "open",
    )
    models: tuple[str, ...] = setting(
        "Models whose ensembles predict; if empty, only the headline model.", (), unique=True
    )
