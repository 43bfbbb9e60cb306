"""`patients.csv`: one line per case, with its predictions and with what was missing or rejected."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from nephroscale.collect import grouped
from nephroscale.evaluation.tables import (
    Cell,
    probability_cells,
    probability_columns,
    read_probabilities,
    read_rows,
    write_table,
)
from nephroscale.reporting.attrition import list_dropped_images, shorten_reason
from nephroscale.reporting.report_inputs import CaseInputs, ListedCase, ReportInputs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nephroscale.cohort.fold_table import FoldTable
    from nephroscale.reporting.results import ModelResults

WHO = ["patient_id", "patient", "biopsy_id", "use", "label", "second_label", "fold", "predicted", "correct"]
COUNTS = ["glomeruli", "sclerosed_glomeruli"]
WHY = ["left_out", "missing_modalities", "rejected_images", "warnings"]


def write_patients(
    path: Path, inputs: ReportInputs, folds: FoldTable, models: Mapping[str, ModelResults], headline: str
) -> None:
    """Write the table in UTF-8 with a byte order mark, from which Excel knows the encoding.

    Parameters
    ----------
    path
        CSV file to write; `docs/dataflow.md` describes its columns.
    inputs
        Inputs of the report.
    folds
        The folds of all models.
    models
        Results of each model.
    headline
        The model whose prediction is in `predicted`.
    """
    classes = list(inputs.classes)
    tested = {case: fold.name for fold in folds.divisions[0] for case in fold.test}
    rows: dict[str, dict[str, Cell]] = {}
    for case in sorted({*inputs.cases, *folds.labels, *folds.excluded}):
        listed = inputs.cases.get(case) or ListedCase("diagnosis")
        label, second = folds.labels.get(case), folds.second.get(case)
        rows[case] = {
            "patient_id": case,
            "patient": listed.person or case,
            "biopsy_id": listed.biopsy,
            "use": listed.use,
            "label": listed.label if label is None else classes[label],
            "second_label": listed.second if second is None else classes[second],
            "fold": tested.get(case),
            "left_out": shorten_reason(folds.excluded[case]) if case in folds.excluded else listed.reason,
        }
    for name, results in models.items():
        if pooled := results.pooled:
            for case, probabilities in zip(pooled.patients, pooled.probabilities, strict=True):
                rows[case] |= _prediction(name, classes[int(probabilities.argmax())], probabilities, classes)
    for name, predictions in inputs.external.items():
        for found in read_rows(predictions / "predictions.csv"):
            row = rows.setdefault(found["patient_id"], {"patient_id": found["patient_id"], "use": "external"})
            if found["predicted"]:
                row |= _prediction(name, found["predicted"], read_probabilities(found, "p", classes), classes)
            if name == headline or "warnings" not in row:
                row["warnings"] = found["warnings"]
    for row in rows.values():
        row["predicted"] = row.get(f"{headline}_predicted")
        if row["predicted"] and row.get("label"):
            row["correct"] = row["predicted"] in {row["label"], row.get("second_label")}
    for slide in sorted(inputs.slides, key=lambda slide: (slide.fullest_section or 0, slide.image_id)):
        if slide.fullest_section is not None and slide.patient_id in rows:
            counts = {"glomeruli": slide.fullest_section, "sclerosed_glomeruli": slide.fullest_sclerosed}
            rows[slide.patient_id] |= counts
    for column, texts in (("missing_modalities", list_missing(inputs)), ("rejected_images", list_rejected(inputs))):
        for case, reasons in texts.items():
            if case in rows:
                rows[case][column] = "; ".join(reasons)
    names = [headline, *(name for name in models if name != headline)]
    columns = [c for name in names for c in (f"{name}_predicted", *probability_columns(f"{name}_p", classes))]
    write_table(path, [*WHO, *columns, *COUNTS, *WHY], rows.values())
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())


def _prediction(model: str, predicted: str, probabilities: Sequence[float], classes: Sequence[str]) -> dict[str, Cell]:
    return {f"{model}_predicted": predicted, **probability_cells(f"{model}_p", probabilities, classes)}


def list_missing(inputs: CaseInputs) -> dict[str, list[str]]:
    """Case to its modalities without features, each with the reason."""
    return grouped(
        (unit.bag[0], f"{unit.bag[1]}: {shorten_reason(unit.reason or 'no reason given')}")
        for unit in inputs.stages.get("features", ())
        if unit.bag and not unit.accepted
    )


def list_rejected(inputs: CaseInputs) -> dict[str, list[str]]:
    """Case to its rejected images, each with the reason of the first stage that rejected it."""
    found: dict[tuple[str, str], str] = {}
    for unit in inputs.stages.get("register", ()):
        images = unit.figures.get("rejected_images", {})
        assert isinstance(images, dict)
        for image, reason in images.items():
            found.setdefault((unit.name, image), str(reason))
    for unit in [*inputs.stages.get("tiles", ()), *inputs.stages.get("glomeruli", ())]:
        if not unit.accepted and "because" not in unit.figures:
            case = inputs.images[unit.name].case if unit.name in inputs.images else ""
            found.setdefault((case, unit.name), unit.reason or "no reason given")
    for dropped in list_dropped_images(inputs.stages):
        found.setdefault((dropped.patient, dropped.image), dropped.reason)
    return grouped((case, f"{image}: {reason}") for (case, image), reason in sorted(found.items()))
