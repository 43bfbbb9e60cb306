"""`nephroscale estimate`: rates from records, and what they give for a cohort."""

import pytest
import yaml

from nephroscale.cli import main
from nephroscale.engine.plan import Plan
from nephroscale.engine.rates import Rate, Sample, collect_samples, estimate, fit_rate, read_rates
from nephroscale.stages.registry import ORDER, stage_table
from nephroscale.store.receipts import Receipt
from nephroscale.store.recipe import Recipe
from support.small_study import small_config, write_study


@pytest.fixture
def plan(tmp_path, monkeypatch):
    write_study(tmp_path / "study")
    monkeypatch.chdir(tmp_path / "study")
    (tmp_path / "study/study.yaml").write_text(yaml.safe_dump(small_config()))
    return Plan(small_config(), stage_table())


def add_record(plan, stage, unit, seconds):
    receipt = Receipt(stage, unit, "accepted", "x", digest="0" * 64, kind="file", size=500)
    plan.records.add(Recipe(stage, rows=unit), receipt, {"seconds": seconds, "peak_mb": 100})


def test_rates_have_a_fixed_part_and_one_that_grows():
    samples = [Sample(task, 2 + 0.5 * task, 100 + task, 1e6 * task) for task in (1.0, 4.0, 10.0)]
    assert fit_rate(samples) == Rate(2.0, 0.5, 0.0, 1e6, 110.0, 3)
    alike = fit_rate([Sample(0, 3, 1, 10), Sample(0, 5, 2, 30)])
    assert (alike.seconds, alike.seconds_each, alike.size) == (4.0, 0.0, 20.0)


def test_records_of_the_study_win_over_shipped_rates(plan):
    shipped = {"tem": Rate(3600, 0, 1e9, 0, 1024, 9), "folds": Rate(7200, 0, 0, 0, 10, 1)}
    before = {row.stage: row for row in estimate(plan, shipped)}
    assert before["tem"].hours == len(plan.units("tem"))
    assert before["tem"].size == 1e9 * len(plan.units("tem"))
    for patient in ("P0", "P1", "P2"):
        add_record(plan, "tem", patient, 36.0)
    add_record(plan, "tem", "of-another-study", 1e6)
    assert len(collect_samples(plan)["tem"]) == 3
    after = {row.stage: row for row in estimate(plan, shipped)}
    assert after["tem"].hours == pytest.approx(0.01 * len(plan.units("tem")), rel=0.01)
    assert after["tem"].source == "3 jobs of this study"
    assert after["folds"] == before["folds"]


def test_a_table_is_printed_for_the_cohort(plan, capsys):
    assert main(["estimate", "--config", "compute={device: cuda}"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert {"register", "train", "sum"} <= set(lines)
    assert lines["tiles"].split()[4] == "-"
    assert lines["train"].split()[4] == lines["train"].split()[3]


def test_every_stage_has_a_shipped_rate():
    rates = read_rates()
    assert set(ORDER) - {"segmenter_im", "predict", "new_deposits", "new_cases"} <= set(rates)
    assert all(rate.seconds + rate.seconds_each > 0 for rate in rates.values())
