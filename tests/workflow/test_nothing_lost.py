"""A call that starts no job changes nothing; a report stays until the next one is there, and then by its number."""

import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.workflow

# Every way of calling Snakemake that starts no job.
IDLE_CALLS = (
    ("-n",),
    ("-n", "--forcerun", "tile_slide"),
    ("-n", "-F"),
    ("--dag",),
    ("--rulegraph",),
    ("--filegraph",),
    ("--summary",),
    ("--detailed-summary",),
    ("--lint",),
    ("--list-rules",),
    ("--list-target-rules",),
    ("--list-changes", "code"),
    ("--report", "build/report.html"),
)


def snapshot(project):
    """Every file, link and folder of results and store: bytes or target, mode, inode, time in nanoseconds."""
    found = {}
    for top in ("results", "store"):
        for path in sorted((project.path / top).rglob("*")):
            state = path.lstat()
            content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
            found[path.relative_to(project.path)] = (content, state.st_mode, state.st_ino, state.st_mtime_ns)
    return found


def command(project, *options):
    return [sys.executable, "-m", "snakemake", "--configfile", project.config, "--cores", "2", *options]


def change_a_label(project):
    project.edit("config/tiny/patients.csv", "P01,IgAN", "P01,MN")
    project.edit("config/tiny/patients.csv", "P03,MN", "P03,IgAN")


def test_a_call_that_starts_no_job_changes_no_byte_and_no_time(project):
    change_a_label(project)
    (project.path / "results/tiny/register/P02.json").write_text("{")  # damaged
    (project.path / "build").mkdir(exist_ok=True)
    os.utime(project.path / "demo/tiny/om/P04.svs")
    before = snapshot(project)
    for options in IDLE_CALLS:
        code, output = project.snakemake("--cores", "2", *options)
        assert snapshot(project) == before, options
        if options == ("-n",):
            assert code == 0, output
            assert "make_folds" in output


def test_a_killed_dry_run_changes_nothing(project):
    change_a_label(project)
    before = snapshot(project)
    longest, killed = None, 0
    for share in (None, None, 0.15, 0.4, 0.55, 0.7, 0.85, 0.95):  # of what the second one takes; two are not killed
        begun = time.monotonic()
        code, _ = project.snakemake("--cores", "2", "-n", killed_after=share and share * longest)
        killed += code == -signal.SIGKILL
        longest = longest if share else time.monotonic() - begun
        assert snapshot(project) == before
    assert killed


def test_a_corrected_label_recomputes_no_image_stage_and_the_old_report_stays_until_the_new_one(project):
    results = project.path / "results/tiny"
    first = (results / "report/metrics.json").read_bytes()
    page = (results / "report.html").read_bytes()
    before = project.runs()
    change_a_label(project)
    planned = project.run(options=("-n",))
    for patient, change in (("P01", "MN, was IgAN"), ("P03", "IgAN, was MN")):
        line = f"  label of {patient}: {change}: folds, then 4 trainings, 4 temperatures, 4 evaluations, report, audit"
        assert f"{line} (may be cache hits)" in planned.output, planned.output
    code, words = project.nephroscale("why", "train/cmusnet/fold0-seed1")
    assert (code, "waits for folds, which would be made because: label of P01" in words) == (0, True), words
    project.edit("scripts/nephroscale/stages/evaluate.py", "    def make(", "    def make_not(")  # so that it fails
    failed = project.run()
    assert failed.code != 0
    assert (results / "report/metrics.json").read_bytes() == first
    assert (results / "report.html").read_bytes() == page
    assert not (results / "report.json").exists()
    project.edit("scripts/nephroscale/stages/evaluate.py", "    def make_not(", "    def make(")
    assert "train_model" not in project.run(options=("-n",)).output  # made by the failed run
    run = subprocess.Popen(
        command(project, "--", "all"), cwd=project.path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert project.run(options=("-n",)).code == 0  # beside the real run
    assert run.wait() == 0
    made = {unit.partition("/")[0] for run, unit in project.runs().items() if run not in before}
    assert made == {"folds", "train", "temperature", "evaluate", "report"}
    assert project.run().idle
    assert (results / "report/metrics.json").read_bytes() != first
    assert (results / "reports/1/metrics.json").read_bytes() == first
    assert (results / "reports/2").readlink().name == (results / "report").readlink().name
    change_back = (("P01,MN", "P01,IgAN"), ("P03,IgAN", "P03,MN"))
    for old, new in change_back:
        project.edit("config/tiny/patients.csv", old, new)
    assert project.run().idle
    assert (results / "report").readlink().name == (results / "reports/1").readlink().name
    assert sorted(path.name for path in (results / "reports").glob("*.json")) == ["1.json", "2.json"]
    code, text = project.nephroscale("gc", "--keep-days", "0")
    assert code == 0
    assert " report/cohort" not in text
