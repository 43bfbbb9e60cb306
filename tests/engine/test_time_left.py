"""The time left, by replaying the jobs of a recorded run against a simulated clock."""

import json
from collections import Counter
from pathlib import Path

import pytest

from nephroscale.engine.rates import Usual, read_rates
from nephroscale.engine.time_left import PHASES, TimeLeft
from nephroscale.stages.registry import ORDER

DATA = Path(__file__).parent / "data"
RATES = read_rates()


def recorded(name):
    """Jobs of a recorded run, what its jobs usually take by the shipped rates, and how many ran at once."""
    content = json.loads((DATA / f"{name}_run.json").read_text())
    usual = {stage: RATES[stage].usual(task, own=False) for stage, task in content["tasks"].items()}
    return content["jobs"], usual, content["at_once"]


TINY, USUAL, _ = recorded("tiny")
TRAINING = next({stage for group in phase for stage in group} for phase in PHASES if "train" in phase[0])


def one_after_the_other(jobs, cores):
    """The same jobs on idle cores: each starts when a core is free and the phases before its own are over."""
    free, done = [0.0] * cores, []
    for phase in PHASES:
        free = [max(done, default=0.0, key=lambda job: job[2])[2] if done else 0.0] * cores
        for stage, start, end in jobs:
            if any(stage in group for group in phase):
                core = free.index(min(free))
                done.append([stage, free[core], free[core] + end - start])
                free[core] = done[-1][2] + 0.5
    return done


def ratios(jobs, cores, usual=USUAL):
    """Estimated and real time left, at every fortieth of the run from the first tenth to the last."""
    whole = max(end for _, _, end, *_ in jobs)
    events = sorted(
        [(start, 1, number) for number, (_, start, *_) in enumerate(jobs)]
        + [(end, 0, number) for number, (_, _, end, *_) in enumerate(jobs)]
    )
    left, found = TimeLeft(Counter(stage for stage, *_ in jobs), cores, usual), []
    for step in range(1, 37):
        now = whole * step / 40
        while events and events[0][0] <= now:
            at, starts, number = events.pop(0)
            if starts:
                left.start(number, jobs[number][0], at, *jobs[number][3:])
            else:
                left.finish(number, at)
        if step >= 4:
            found.append(left.left(now) / (whole - now))
    return found


def scaled(jobs, factor):
    """The same run where trainings, temperatures and evaluations take longer than usual beside the rest."""
    longer = [[stage, 0, (end - start) * (factor if stage in TRAINING else 1)] for stage, start, end in jobs]
    return one_after_the_other(longer, 2)


def means(jobs):
    """What a study with records knows: the mean duration of each stage's jobs."""
    seconds = Counter()
    for stage, start, end in jobs:
        seconds[stage] += end - start
    counts = Counter(stage for stage, *_ in jobs)
    return {stage: Usual(seconds[stage] / counts[stage], own=True) for stage in counts}


@pytest.mark.parametrize(
    ("name", "slower"), [("tiny", 1.0), ("tiny", 3.0), ("demo", 1.0), ("demo", 3.0), ("slurm", 1.0)]
)
def test_a_first_run_is_right_within_a_factor_after_its_first_tenth(name, slower):
    jobs, usual, at_once = recorded(name)
    jobs = [[stage, start * slower, end * slower, *rest] for stage, start, end, *rest in jobs]
    found = ratios(jobs, at_once, usual)
    assert all(1 / 1.5 < ratio < 1.5 for ratio in found), found


def test_two_cores_that_do_nothing_else():
    found = ratios(one_after_the_other(TINY, 2), 2)
    assert all(1 / 1.5 < ratio < 1.5 for ratio in found), found


def test_records_of_earlier_runs_make_it_right_where_a_study_is_not_usual():
    jobs = scaled(TINY, 10)
    assert max(1 / ratio for ratio in ratios(jobs, 2)) > 2
    assert all(1 / 1.5 < ratio < 1.5 for ratio in ratios(jobs, 2, means(jobs)))


def test_the_number_of_jobs_at_once_is_measured_where_it_is_not_known():
    jobs = one_after_the_other([["tiles", 0, 20.0]] * 60, 6)
    assert all(1 / 1.5 < ratio < 1.5 for ratio in ratios(jobs, None))


def test_a_failed_job_is_waited_for_no_longer():
    left = TimeLeft({"train": 2}, 1, USUAL)
    left.start(1, "train", 0.0)
    before = left.left(0.0)
    left.drop(1)
    assert left.left(0.0) == pytest.approx(before / 2)
    left.start(2, "train", 0.0)
    left.finish(2, 30.0)
    assert left.left(30.0) == 0.0


def test_every_stage_has_a_rate_and_a_phase():
    assert set(ORDER) == {stage for phase in PHASES for group in phase for stage in group}
    assert set(RATES) == set(ORDER) - {"segmenter_im", "predict", "new_deposits", "new_cases"}  # taken from like stages
