"""One zip file of a report, to hand on: page, figures, and tables as CSV and as a workbook."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nephroscale.errors import NephroscaleError

Table = list[dict[str, Any]]

DATE = (1980, 1, 1, 0, 0, 0)


def export_report(report: Path, out: Path) -> list[str]:
    """Write a report as a zip file; equal reports give equal bytes.

    Parameters
    ----------
    report
        Object of the stage `report`.
    out
        File to create: all files of the report, `tables/*.csv` and `tables.xlsx`.

    Returns
    -------
    list of str
        Names of the files in it.

    Raises
    ------
    NephroscaleError
        When there is no report, or the file exists.
    """
    if not (report / "metrics.json").is_file():
        raise NephroscaleError(
            "There is no report.", where=str(report), fix="Run the target `report`, or name a folder with --report."
        )
    if out.exists():
        raise NephroscaleError("This file exists.", where=str(out), fix="Name a new file.")
    files = {path.relative_to(report).as_posix(): path.read_bytes() for path in report.rglob("*") if path.is_file()}
    tables = list_tables(json.loads(files["metrics.json"]))
    files |= {f"tables/{name}.csv": _as_csv(table) for name, table in tables.items()}
    if "patients.csv" in files:
        tables = {"patients": _read_cases(files["patients.csv"].decode("utf-8-sig")), **tables}
    files["tables.xlsx"] = _as_workbook(tables)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(_as_zip(files))
    return sorted(files)


def list_tables(metrics: Mapping[str, Any]) -> dict[str, Table]:
    """List the tables of a report, one value per row; tables without rows are left out.

    Parameters
    ----------
    metrics
        Content of `metrics.json`.

    Returns
    -------
    dict
        `models`, `external`, `classes`, `folds`, `confusion` and `comparisons`, each to its rows.
    """
    tables: dict[str, Table] = {
        "models": [
            {"model": model, "estimate": estimate, "patients": found["patients"], "metric": metric, **values}
            for model, found in metrics["models"].items()
            for estimate, figures in (
                ("one network", found["pooled"] | _ordinal(found)),
                ("ensemble of the seeds", found["ensemble"]),
            )
            for metric, values in figures.items()
        ],
        "external": [
            {"model": model, "estimate": estimate, "patients": found["patients"], "metric": metric, **values}
            for model, found in metrics.get("external", {}).items()
            for estimate, figures in (
                ("ensemble", found["pooled"] | (found["ordinal"] or {})),
                ("one network", found["single"]),
            )
            for metric, values in figures.items()
        ],
        "classes": [
            {"model": model, "class": name, "patients": values["patients"], "metric": metric, **values[metric]}
            for model, found in metrics["models"].items()
            for name, values in found["classes"].items()
            for metric in ("sensitivity", "specificity", "auc")
        ],
        "folds": [
            {"model": model, "fold": fold, "metric": metric, "value": value}
            for model, found in metrics["models"].items()
            for metric in found["pooled"]
            for fold, value in zip(found["folds"]["names"], found["folds"][metric]["values"], strict=True)
        ],
        "confusion": [
            {"model": model, "true": true, "predicted": predicted, "patients": count}
            for model, found in metrics["models"].items()
            for true, counts in zip(metrics["classes"], found["confusion"] or [], strict=False)
            for predicted, count in zip(metrics["classes"], counts, strict=True)
        ],
        "comparisons": [
            {"model": model, "minus": metrics["headline"], "metric": metric, **difference}
            for model, found in metrics["comparisons"].items()
            for metric, difference in found.items()
        ],
    }
    return {name: rows for name, rows in tables.items() if rows}


def _ordinal(model: Mapping[str, Any]) -> dict[str, Any]:
    return {metric: value for metric, value in (model["ordinal"] or {}).items() if metric != "heads"}


def _read_cases(text: str) -> Table:
    """Read `patients.csv`; probabilities become numbers, and ids stay text."""
    return [
        {key: float(cell) if cell and ("_p_" in key or key == "correct") else cell for key, cell in row.items()}
        for row in csv.DictReader(io.StringIO(text, newline=""))
    ]


def _as_csv(table: Table) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return stream.getvalue().encode("utf-8-sig")


def _as_workbook(tables: Mapping[str, Table]) -> bytes:
    """Make a workbook with a sheet for each table; no text is taken for a formula."""
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, table in tables.items():
        sheet = book.create_sheet(name)
        sheet.freeze_panes = "B2"
        for number, row in enumerate([list(table[0]), *(list(row.values()) for row in table)], start=1):
            for column, value in enumerate(row, start=1):
                cell = sheet.cell(number, column, value)
                if isinstance(value, str):
                    cell.data_type = "s"
    stream = io.BytesIO()
    book.save(stream)
    return _as_zip(dict(_without_dates(stream)))


def _without_dates(workbook: io.BytesIO) -> Iterator[tuple[str, bytes]]:
    """Give the parts of a workbook, without the times of its making."""
    with zipfile.ZipFile(workbook) as parts:
        for name in parts.namelist():
            content = parts.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT[\d:.]+Z", b"1980-01-01T00:00:00Z", content)
            yield name, content


def _as_zip(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name], zipfile.ZIP_DEFLATED)
    return stream.getvalue()
