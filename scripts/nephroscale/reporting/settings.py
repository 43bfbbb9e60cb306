"""Settings of the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nephroscale.settings import Settings, section, setting

ORDERED_METRICS = ("quadratic_kappa", "mean_class_error")
"""Metrics of ordered classes that models are compared by."""


@dataclass(frozen=True)
class PrimarySettings(Settings):
    """The primary endpoint, declared before any result is seen."""

    metric: Literal["balanced_accuracy", "accuracy", "macro_auc", "macro_f1", "quadratic_kappa", "mean_class_error"] = (
        setting("Metric of the comparison; the last two need ordered classes.", "balanced_accuracy")
    )
    contrasts: tuple[str, ...] = setting(
        "Models that the headline model is compared with. Their p-values are adjusted by Holm's procedure; all other "
        "comparisons are exploratory. Empty: no primary endpoint.",
        (),
        unique=True,
    )
    date: str | None = setting("Date of the declaration, as YYYY-MM-DD in quotes; required with contrasts.", None)


@dataclass(frozen=True)
class ReferenceStandardSettings(Settings):
    """How the labels were made, as the report states it."""

    read_by: str | None = setting("Who made the diagnoses, and from what; never by name.", None)
    blinded: str | None = setting("What the readers were blinded to, such as `to each other's diagnoses`.", None)
    agreement: str | None = setting("Their agreement, such as `kappa 0.81 in 40 biopsies read twice`.", None)


@dataclass(frozen=True)
class ActionSettings(Settings):
    """The action that a prediction may lead to, for a decision curve."""

    name: str | None = setting("The action, such as `immunosuppression`; no decision curve without it.", None)
    classes: tuple[str, ...] = setting("Classes in which the action is right.", (), unique=True)
    thresholds: tuple[float, ...] = setting(
        "Threshold probabilities: the action is taken if the probabilities of these classes sum to at least the "
        "threshold. List the values at which a patient or physician may be undecided.",
        (0.1, 0.2, 0.3, 0.4, 0.5),
        items={"exclusiveMinimum": 0, "exclusiveMaximum": 1},
        min_items=1,
        unique=True,
    )


@dataclass(frozen=True)
class ReportSettings(Settings):
    """The report."""

    title: str = setting("Title of the page.", "Renal biopsies by CMUS-Net")
    notes: tuple[str, ...] = setting("Sentences at the top of the page.", ())
    headline: str | None = setting(
        "Model whose results lead the report, and with which all others are compared; by default the first model.", None
    )
    reference_standard: ReferenceStandardSettings = section(ReferenceStandardSettings)
    primary: PrimarySettings = section(PrimarySettings)
    prevalences: Mapping[str, float] = setting(
        "Prevalence of each class in the target population, for predictive values (all classes; they sum to 1). The "
        "prevalence in a cohort is rarely that of a clinic.",
        {},
        values={"minimum": 0, "maximum": 1},
    )
    action: ActionSettings = section(ActionSettings)
    subgroups: tuple[str, ...] = setting(
        "Columns of the table of patients for which the report has subgroups, beside missing modalities and the number "
        "of glomeruli. A column that the table does not have is left out.",
        ("site", "scanner", "stage", "sex", "age"),
        unique=True,
    )
    dates: tuple[str, ...] = setting(
        "Columns of the table of patients with dates (2024-05-31), such as that of the biopsy or of scanning. They are "
        "among the facts of acquisition that may predict the classes. A column that the table does not have is left "
        "out.",
        ("biopsy_date", "stain_date", "scan_date", "date"),
        unique=True,
    )
    smallest_subgroup: int = setting(
        "Smallest number of patients of a subgroup for which figures are given.", 10, minimum=2
    )
    case_pages: int = setting(
        "Largest number of pages of cases of the folds, and of external cases, wrong predictions first; 0 for none. A "
        "page has about half a megabyte.",
        500,
        minimum=0,
    )
    permutations: int = setting(
        "Number of label permutations for the p-values of the rows `acquisition alone` and `readings alone`.",
        199,
        minimum=19,
    )
    swaps: int = setting(
        "Number of random permutations for the p-value of a comparison: each exchanges the predictions of two models "
        "for some patients.",
        2000,
        was="bootstrap_resamples",
        minimum=100,
    )
