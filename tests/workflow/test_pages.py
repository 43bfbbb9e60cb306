"""The pages of report and audit, next to their receipts and in the report of Snakemake."""

import base64
import csv
import json
import os
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.workflow
COPIES = {
    "report.html": "report/index.html",
    "audit.html": "audit/index.html",
    "patients.csv": "report/patients.csv",
}


def copies(project):
    return {name: (project.path / "results/tiny" / name).read_bytes() for name in COPIES}


def pages(project):
    return {
        name: copy.replace(b'"report/cases/', b'"cases/').replace(b'"audit.html#', b'"../audit.html#')
        for name, copy in copies(project).items()
    }


def test_a_page_is_a_copy_of_the_one_in_its_object(made):
    top = made.path / "results/tiny"
    assert pages(made) == {name: (top / file).read_bytes() for name, file in COPIES.items()}


def test_the_copied_report_leads_to_the_pages_of_the_cases(made):
    top = made.path / "results/tiny"
    links = re.findall(r'href="(report/cases/[^"]+)"', (top / "report.html").read_text())
    assert links
    assert all((top / link).is_file() for link in links)


@pytest.mark.parametrize("page", ["report.html", "report/index.html"])
def test_the_report_leads_to_the_costs_in_the_audit(made, page):
    path = made.path / "results/tiny" / page
    (link,) = re.findall(r'href="([^"]+)#costs"', path.read_text())
    assert 'id="costs"' in Path(os.path.normpath(path.parent / link)).read_text()


def test_the_table_of_cases_has_a_line_per_patient_with_reasons(made):
    with (made.path / "results/tiny/patients.csv").open(newline="", encoding="utf-8-sig") as stream:
        rows = {row["patient_id"]: row for row in csv.DictReader(stream)}
    with (made.path / "config/tiny/patients.csv").open(newline="", encoding="utf-8-sig") as stream:
        assert set(rows) == {row["patient_id"] for row in csv.DictReader(stream)}
    folds = json.loads((made.path / "results/tiny/folds/folds.json").read_text())
    for case, row in rows.items():
        tested = case in folds["labels"]
        assert bool(row["fold"]) == tested
        assert bool(row["predicted"]) == (tested or row["use"] == "external")
        assert bool(row["left_out"]) == (case in folds["excluded"] or row["use"] == "segmentation")
        assert len(row["missing_modalities"]) > 0 or case not in folds["lacking"]


def test_a_deleted_page_comes_back_without_any_job(project):
    before = pages(project)
    for name in before:
        (project.path / "results/tiny" / name).unlink()
    assert project.run().idle
    assert pages(project) == before


def test_a_changed_report_changes_its_page(project):
    project.edit("config/tiny.yaml", "The tiny cohort", "Another title")
    run = project.run()
    assert run.code == 0, run.output
    assert b"Another title" in pages(project)["report.html"]
    assert pages(project)["report.html"] == (project.path / "results/tiny/report/index.html").read_bytes()
    assert project.run().idle


def test_the_report_of_snakemake_holds_the_pages_and_no_receipt(project):
    run = project.run(options=("--report", "snakemake.html"))
    assert run.code == 0, run.output
    text = (project.path / "snakemake.html").read_text(encoding="utf-8")
    embedded = {
        base64.b64decode(data) for data in re.findall(r"data:text/(?:html|csv)[^,]*;base64,([A-Za-z0-9+/=]+)", text)
    }
    assert embedded == set(copies(project).values())
    assert not re.search(r"data:application/json", text)
