"""The pages of report and audit, next to their receipts and in the report of Snakemake."""

import base64
import re

import pytest

pytestmark = pytest.mark.workflow


def pages(project):
    top = project.path / "results/tiny"
    return {name: (top / f"{name}.html").read_bytes() for name in ("report", "audit")}


def test_a_page_is_a_copy_of_the_one_in_its_object(made):
    top = made.path / "results/tiny"
    assert pages(made) == {name: (top / name / "index.html").read_bytes() for name in ("report", "audit")}


def test_a_deleted_page_comes_back_without_any_job(project):
    before = pages(project)
    for name in before:
        (project.path / f"results/tiny/{name}.html").unlink()
    assert project.run().idle
    assert pages(project) == before


def test_a_changed_report_changes_its_page(project):
    project.edit("config/tiny.yaml", "The tiny cohort", "Another title")
    run = project.run()
    assert run.code == 0, run.output
    assert b"Another title" in pages(project)["report"]
    assert pages(project)["report"] == (project.path / "results/tiny/report/index.html").read_bytes()
    assert project.run().idle


def test_the_report_of_snakemake_holds_the_pages_and_no_receipt(project):
    run = project.run(options=("--report", "snakemake.html"))
    assert run.code == 0, run.output
    text = (project.path / "snakemake.html").read_text(encoding="utf-8")
    embedded = {base64.b64decode(data) for data in re.findall(r"data:text/html[^,]*;base64,([A-Za-z0-9+/=]+)", text)}
    assert embedded == set(pages(project).values())
    assert not re.search(r"data:application/json", text)
