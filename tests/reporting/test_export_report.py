"""A report as one zip file."""

import csv
import io
import json
import stat
import zipfile
from dataclasses import replace

import openpyxl
import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.reporting import export_report as module
from nephroscale.reporting.export_report import export_report
from nephroscale.reporting.report import write_report
from nephroscale.reporting.report_inputs import ListedCase
from nephroscale.reporting.settings import ReportSettings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(inputs, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported") / "out"
    models = {name: inputs.models[name] for name in ("cmusnet", "tem-only")}
    bare = replace(
        inputs, models=models, slides=(), tem={}, cases={"P032": ListedCase("exclude", reason="=HYPERLINK(1)")}
    )
    write_report(bare, ReportSettings(swaps=100), out, seed=1)
    return out


@pytest.fixture(scope="module")
def archive(report, tmp_path_factory):
    path = tmp_path_factory.mktemp("zip") / "report.zip"
    names = export_report(report, path)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == names
        assert all(stat.S_IFMT(entry.external_attr >> 16) == 0 for entry in archive.infolist())  # no links
        return {name: archive.read(name) for name in names}


def rows(archive, name):
    return list(csv.DictReader(io.StringIO(archive[name].decode("utf-8-sig"), newline="")))


def test_the_page_and_its_files_are_in_it(archive, report):
    for path in report.rglob("*"):
        if path.is_file():
            assert archive[path.relative_to(report).as_posix()] == path.read_bytes()
    assert {"index.html", "patients.csv", "metrics.json", "figures/roc.svg", "figures/roc.png"} <= set(archive)


def test_the_tables_are_those_of_the_metrics(archive):
    metrics = json.loads(archive["metrics.json"])
    models = {(row["model"], row["metric"]): row for row in rows(archive, "tables/models.csv")}
    assert {row["estimate"] for row in rows(archive, "tables/models.csv")} == {"one network"}  # of a single seed
    for name, found in metrics["models"].items():
        for metric, estimate in found["pooled"].items():
            assert {key: float(models[name, metric][key]) for key in estimate} == estimate
    assert len(rows(archive, "tables/folds.csv")) == 5 * len(models)
    counts = sum(int(row["patients"]) for row in rows(archive, "tables/confusion.csv") if row["model"] == "cmusnet")
    assert counts == metrics["models"]["cmusnet"]["patients"]
    for row in rows(archive, "tables/comparisons.csv"):
        assert row["minus"] == metrics["headline"]
        assert float(row["value"]) == metrics["comparisons"][row["model"]][row["metric"]]["value"]
    assert {row["model"] for row in rows(archive, "tables/comparisons.csv")} == set(metrics["comparisons"])
    assert "tables/external.csv" not in archive


def test_the_workbook_has_a_sheet_per_table_with_numbers_and_no_formula(archive):
    book = openpyxl.load_workbook(io.BytesIO(archive["tables.xlsx"]))
    assert book.sheetnames == ["patients", "models", "classes", "folds", "confusion", "comparisons"]
    header, first, *_, last = book["patients"].iter_rows()
    names = [cell.value for cell in header]
    assert first[0].value == "P001"
    assert isinstance(first[names.index("cmusnet_p_IgAN")].value, float)
    formula = last[names.index("left_out")]
    assert (formula.value, formula.data_type) == ("=HYPERLINK(1)", "s")


def test_equal_reports_give_equal_bytes_at_any_time(report, archive, tmp_path, monkeypatch):
    import openpyxl.writer.excel as writer

    class Later(writer.datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2031, 2, 3, 4, 5, 6, tzinfo=tz)

    monkeypatch.setattr(writer.datetime, "datetime", Later)
    export_report(report, tmp_path / "again.zip")
    with zipfile.ZipFile(tmp_path / "again.zip") as again:
        assert {name: again.read(name) for name in again.namelist()} == archive
        assert {entry.date_time for entry in again.infolist()} == {module.DATE}


def test_nothing_is_overwritten_and_a_missing_report_is_an_error(report, tmp_path):
    (tmp_path / "old.zip").write_text("kept")
    with pytest.raises(NephroscaleError, match="exists"):
        export_report(report, tmp_path / "old.zip")
    with pytest.raises(NephroscaleError, match="no report"):
        export_report(tmp_path, tmp_path / "new.zip")
    assert not (tmp_path / "new.zip").exists()
