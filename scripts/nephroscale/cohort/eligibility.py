"""Which patients come into the folds, and the folds of these, written with what the report counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from nephroscale.cohort.fold_table import FILE, SIDES, LabelCount
from nephroscale.cohort.folds import make_folds
from nephroscale.cohort.settings import FoldsSettings
from nephroscale.json_text import pretty_json
from nephroscale.settings import Settings, section, setting
from nephroscale.store.digest import digest_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nephroscale.cohort.patient import PatientRow

Missing = Mapping[str, Mapping[str, str]]
"""Patient to the modalities without usable images, each with the reason."""


@dataclass(frozen=True)
class EligibilitySettings(Settings):
    """What decides the folds beside the patients and the seed."""

    folds: FoldsSettings = section(FoldsSettings)
    classes: tuple[str, ...] = setting("Names of the classes.", ())
    meanings: Mapping[str, str | tuple[str, ...]] = setting("Texts of the label column and their classes.", {})
    min_per_class: int = setting("Fewest eligible patients in a class.", 2)
    permute_labels: int | None = setting("Seed of a random permutation of the labels.", None)
    mixed: str = setting("What a label between two classes becomes.", "exclude")
    missing_modalities: Literal["exclude", "mask"] = setting("What happens to incomplete patients.", "exclude")
    modalities: tuple[str, ...] = setting("Modalities that any model reads.", ())


def write_folds(
    rows: Sequence[PatientRow], missing: Missing, settings: EligibilitySettings, seed: int, out: Path
) -> tuple[dict[str, Any], dict[str, str]]:
    """Write ``folds.json`` for the patients who have what the models need.

    Parameters
    ----------
    rows
        Each patient to diagnose, and those that the tables leave out with a reason.
    missing
        Who lacks which modality.
    settings
        See :class:`EligibilitySettings`.
    seed
        Seed of the folds.
    out
        Folder to make.

    Returns
    -------
    figures
        Patients by class, who is left out, those whose label lies between two classes, and who takes part without a
        modality.
    parts
        Digests of ``fold<n>`` for all of a fold and of ``fold<n>.train`` for its training and validation side alone.
    """
    reasons, lacking = sort_missing(missing, settings)
    patients = [
        replace(row, eligible=False, reason=reasons[row.id]) if row.eligible and row.id in reasons else row
        for row in rows
    ]
    table = make_folds(
        patients,
        settings.classes,
        settings.folds,
        seed,
        min_per_class=settings.min_per_class,
        permute_labels=settings.permute_labels,
    )
    table = replace(
        table,
        texts=_count_texts(rows, set(table.labels), settings),
        lacking={patient: lacking[patient] for patient in table.labels if patient in lacking},
        mixed_policy=settings.mixed,
    )
    out.mkdir()
    (out / FILE).write_text(pretty_json(table.to_mapping()), encoding="utf-8")
    targets = {p: [k, table.second[p]] if p in table.second else k for p, k in table.labels.items()}
    parts = {}
    for fold in table.folds:
        sides = {side: {p: targets[p] for p in fold.side(side)} for side in SIDES}
        parts[f"fold{fold.name}"] = digest_json([list(table.classes), sides])
        parts[f"fold{fold.name}.train"] = digest_json([list(table.classes), sides["train"], sides["validation"]])
    figures = {
        "patients": {name: sum(v == k for v in table.labels.values()) for k, name in enumerate(table.classes)},
        "excluded": table.excluded,
        **({"mixed": table.mixed_to_mapping()} if table.mixed else {}),
        **({"lacking": table.lacking} if table.lacking else {}),
    }
    return figures, parts


def sort_missing(missing: Missing, settings: EligibilitySettings) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Separate patients who are excluded for a missing modality (with the reason) from those who take part without it.

    With `missing_modalities: exclude` every incomplete patient is excluded; with `mask` only those who have nothing.
    """
    lacking = {patient: dict(sorted(reasons.items())) for patient, reasons in sorted(missing.items())}
    masked = settings.missing_modalities == "mask"
    taking_part = {p: lacks for p, lacks in lacking.items() if masked and len(lacks) < len(settings.modalities)}
    first = {patient: next(iter(lacks.items())) for patient, lacks in lacking.items() if patient not in taking_part}
    return {patient: f"no {modality}: {reason}" for patient, (modality, reason) in first.items()}, taking_part


def _count_texts(
    rows: Sequence[PatientRow], included: set[str], settings: EligibilitySettings
) -> tuple[LabelCount, ...]:
    """Count the patients of each text in the label column, and their cases in the folds."""
    counts = []
    for text in sorted({row.text for row in rows}):
        cases = [row for row in rows if row.text == text]
        meaning = settings.meanings.get(text)
        between = isinstance(meaning, tuple | list)
        words = f"{' or '.join(meaning)} ({settings.mixed})" if meaning and between else meaning
        counts.append(
            LabelCount(
                text,
                str(words) if words else None,
                len({row.person or row.id for row in cases}),
                sum(row.id in included for row in cases),
            )
        )
    return tuple(counts)
