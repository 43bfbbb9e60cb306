import logging
from types import SimpleNamespace

import pytest

from nephroscale.engine.snakemake import job_groups
from nephroscale.engine.snakemake.attempt import Attempt
from nephroscale.engine.snakemake.screen import Screen
from nephroscale.store.receipts import Receipt

STATS = {"tile_slide": 40, "prepare_tem": 1, "tiles": 1, "total": 42}  # `tiles` is the target


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Page:
    """A screen on a simulated clock, and what it has printed."""

    def __init__(self, folder):
        self.clock, self.asked = Clock(), []
        report = Receipt("report", "cohort", "accepted", digest="00", figures={"headline": ["Accuracy 0.9"]})
        plan = SimpleNamespace(
            stages={
                "tiles": SimpleNamespace(rule="tile_slide", pattern="{image}"),
                "tem": SimpleNamespace(rule="prepare_tem", pattern="{patient}"),
                "report": SimpleNamespace(rule="write_report", pattern="cohort"),
            },
            config=SimpleNamespace(compute=SimpleNamespace(threads=1)),
            records=SimpleNamespace(all=list),
            patients=["P01"],
            study_units=lambda stage: ["P01"] if stage == "tem" else ["P01-OM"],
            cohort=SimpleNamespace(
                images={"P01-OM": SimpleNamespace(path=folder / "absent.svs")}, images_of=lambda patient, modality: []
            ),
            receipt=lambda *_: report,
            link_path=lambda *_: folder / "results/report",
        )

        def changes(_plan, keys):
            self.asked.append(keys)
            return ["label of P02: MN, was LN: folds"]

        self.screen = Screen(plan, changes, self.clock, lambda: "19:42")

    def __call__(self, event=None, message="", **values):
        record = logging.LogRecord("snakemake", logging.INFO, "", 0, message, (), None)
        vars(record).update({"event": event, **values})
        return self.screen.text(record, lambda each: str(each.msg))

    def start(self, job, rule="tile_slide", **wildcards):
        unit = next(iter(wildcards.values()), "")
        return self("job_info", jobid=job, rule_name=rule, rule_msg=f"Tile {unit}", wildcards=wildcards)

    def fail(self, job, log):
        return self("job_error", jobid=job, rule_name="tile_slide", log=[str(log)])


@pytest.fixture
def page(tmp_path):
    return Page(tmp_path)


def run(page, jobs, seconds):
    """Run some jobs one after the other; the lines."""
    lines = []
    for job in range(jobs):
        page.start(job, image=f"P{job}")
        page.clock.now += seconds
        lines.append(page("job_finished", job_id=job))
    return [line for line in lines if line]


def test_a_line_has_the_time_of_day_the_share_the_stage_s_count_and_the_time_left(page):
    page("resources_info", cores=1)
    page("run_info", "table", stats=STATS)
    first, *_ = run(page, 2, 30.0)
    assert first.startswith("19:42   1 of 42  Tile P0 (1/40), about ")
    assert first.endswith(" min left")


def test_a_stage_of_many_jobs_is_few_lines_and_ends_with_one(page):
    page("run_info", "table", stats=STATS)
    lines = run(page, 40, 3.0)
    assert 5 < len(lines) <= 12
    assert "40 of 42  Tile P39 (40/40)" in lines[-1]


def test_in_silence_the_running_jobs_are_listed_once_a_minute(page):
    page("run_info", "table", stats=STATS)
    page.start(1, image="P1")
    page.clock.now += 50
    assert page.screen.silence() == ""
    page.clock.now += 20
    assert page.screen.silence() == "19:42  running: Tile P1 (70 s)"
    assert page.screen.silence() == ""


def test_a_fault_of_many_jobs_is_one_line_without_snakemake_s_own(page, tmp_path):
    for job in (1, 2):
        page.start(job, image=f"P{job}")
        (tmp_path / f"P{job}.error").write_text("There is no GPU.\n")
    first = page.fail(1, tmp_path / "P1.log")
    assert first == f"19:42  failed: Tile P1, log {tmp_path}/P1.log"
    assert page.fail(2, tmp_path / "P2.log") == ""
    page.start(3, image="P3")
    assert "it left no message" in page.fail(3, tmp_path / "P3.log")
    assert page("error", "RuleException: CalledProcessError", exception="RuleException") == ""
    assert page("error", "sbatch failed", exception="WorkflowError") == "sbatch failed"


def test_an_interrupted_job_is_called_so(page, tmp_path):
    """A killed job leaves the state of its attempt, one without an input leaves it as failed."""
    for job in (1, 2):
        page.start(job, image=f"P{job}")
        attempt = Attempt("tile_slide", tmp_path / f"P{job}.log")
        attempt.begin()
    attempt.fail()
    assert page.fail(1, tmp_path / "P1.log") == (
        f"19:42  interrupted: Tile P1 (by Ctrl-C, a signal, or a limit of memory or time), log {tmp_path}/P1.log"
    )
    assert "failed: Tile P2; an input of it could not be made" in page.fail(2, tmp_path / "P2.log")


def test_a_dry_run_ends_with_the_changes_of_the_planned_units(page):
    assert page("run_info", "table", stats=STATS) == "table"
    page.start(1, image="P1")
    assert page("run_info", "table", stats=STATS) == ""
    assert page(None, "Reasons:\n    (check individual jobs above for details)") == ""
    text = page(None, "This was a dry-run (flag -n). The order of jobs")
    assert text == "What would run, and why:\n  label of P02: MN, was LN: folds"
    assert page.asked == [{("tiles", "P1")}]


def test_nothing_to_be_done_ends_with_the_report(page, tmp_path):
    text = page(None, "Nothing to be done (all requested files are present and up to date).")
    assert text.splitlines()[0].startswith("Nothing to be done")
    assert "Accuracy 0.9" in text
    assert text.endswith(f"Report: {tmp_path}/results/report/index.html")


def test_noise_is_silent_and_messages_are_kept(page):
    assert page("progress", done=1, total=2) == ""
    assert page(None, "Select jobs to execute...") == ""
    assert page(None, "Any other message") == "Any other message"
    assert page("job_finished", job_id=99) == ""


def test_a_job_on_this_machine_leaves_its_message_to_the_screen(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.delenv(job_groups.SCREEN, raising=False)
    assert not job_groups.leaves_message_to_screen()
    monkeypatch.setenv(job_groups.SCREEN, "1")
    assert job_groups.leaves_message_to_screen()
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert not job_groups.leaves_message_to_screen()
