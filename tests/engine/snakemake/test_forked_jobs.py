import json
import os
import signal
from pathlib import Path
from subprocess import CalledProcessError
from types import SimpleNamespace

import pytest
import yaml
from snakemake.benchmark import BenchmarkRecord
from snakemake.script import PythonScript

from nephroscale.engine.snakemake import forked_jobs
from nephroscale.engine.snakemake.forked_jobs import ForkedJobs, fork_group
from nephroscale.engine.snakemake.job_server import Given
from nephroscale.stages.registry import stage_table
from support.mock_study import IMAGES, make_project

pytestmark = pytest.mark.slow

REPORT = """
import json, os, sys, tempfile
from nephroscale.engine.snakemake import script
found = {"name": __name__, "folder": tempfile.gettempdir(), "home": os.environ.get("HOME")}
found |= {"server": os.getppid(), "job": os.getpid()}
found["known"] = [name for name in ("wave", "nephroscale.slides.tiles") if name in sys.modules]
found["patients"] = sorted(script.prepared[1].cohort.patients) if script.prepared else None
with open(sys.argv[0] + ".json", "w") as stream:
    json.dump(found, stream)
"""


@pytest.fixture(scope="module")
def passed_on():
    return []


@pytest.fixture(scope="module")
def jobs(passed_on):
    """Of a configuration that no plan can be made of: a job that needs the plan gives the reason."""
    return ForkedJobs(["wave", "no.such.module"], Given({}, stage_table, []), lambda *call: passed_on.append(call))


@pytest.fixture
def run(jobs, tmp_path):
    return runs(jobs, tmp_path)


def runs(jobs, tmp_path):
    """Make a function that runs a source as the script of a job and gives the script's path."""

    def execute(source, name="script.py", **changed):
        path = tmp_path / name
        path.write_text(source)
        known = {"container_img": None, "conda_env": None, "env_modules": None, "shadow_dir": None}
        known |= {"resources": {"tmpdir": str(tmp_path)}, "bench_record": BenchmarkRecord()}
        jobs.execute(SimpleNamespace(**known | changed), str(path))
        return path

    return execute


def test_a_script_finds_packages_imported(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "set after the server was started")
    record = BenchmarkRecord()
    found = json.loads(run(REPORT, bench_record=record).with_suffix(".py.json").read_text())
    assert found["known"] == ["wave"]
    assert found["name"] == "__main__"
    assert found["folder"] == str(tmp_path)
    assert found["home"] == "set after the server was started"
    assert found["patients"] is None
    assert record.running_time > record.cpu_time > 0
    assert record.max_rss > 1
    assert record.to_tsv(extended_fmt=False).count("NA") == 0


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("import sys; sys.exit(3)", 3),
        ("1 / 0", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9),
        ("import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(9)", 130),
    ],
)
def test_a_failed_script_gives_its_status(run, source, status):
    with pytest.raises(CalledProcessError) as caught:
        run(source)
    assert caught.value.returncode == status


def test_jobs_share_modules_and_plan_until_a_table_is_edited(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_project(tmp_path, 6, IMAGES)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    jobs = ForkedJobs([], Given(config, stage_table, [("tile_slide.py", ())]), pytest.fail)
    run = runs(jobs, tmp_path)
    first, second = (json.loads(run(REPORT).with_suffix(".py.json").read_text()) for _ in range(2))
    assert "nephroscale.slides.tiles" in first["known"]
    assert first.pop("job") != second.pop("job")
    assert first == second
    for name in ("patients", "images"):
        table = tmp_path / config["data"][name]
        table.write_text(table.read_text().replace(first["patients"][0], "Renamed"))
    third = json.loads(run(REPORT).with_suffix(".py.json").read_text())
    assert third["server"] != first["server"]
    assert third["patients"] == sorted([*first["patients"][1:], "Renamed"])
    jobs.close()


def test_a_server_that_was_killed_leaves_the_next_job_to_snakemake(tmp_path):
    passed_on = []
    jobs = ForkedJobs([], Given({}, stage_table, []), lambda *call: passed_on.append(call))
    run = runs(jobs, tmp_path)
    os.kill(json.loads(run(REPORT).with_suffix(".py.json").read_text())["server"], signal.SIGKILL)
    run("raise SystemExit(1)")
    assert len(passed_on) == 1
    run(REPORT)  # by a new server
    assert len(passed_on) == 1


def test_a_container_and_an_installation_during_the_run_are_left_to_snakemake(run, passed_on, monkeypatch):
    run("raise SystemExit(1)", container_img="image.sif")
    assert len(passed_on) == 1
    monkeypatch.setattr(forked_jobs, "_time_of_packages", lambda: 0)
    run("raise SystemExit(1)")
    assert len(passed_on) == 2


def test_one_process_makes_the_units_of_a_stage_that_keeps_it(run, tmp_path):
    def made(source=REPORT, name="tmp1.extract_features.py", **changed):
        return json.loads(run(source, name, **changed).with_suffix(".py.json").read_text())

    first = made("import sys; sys.path.insert(0, 'mine'); kept = 1\n" + REPORT)
    second = made(f"import sys; assert 'mine' not in sys.path and 'kept' not in globals(){REPORT}")
    assert second["job"] == first["job"]
    with pytest.raises(CalledProcessError) as caught:
        run("import sys; sys.exit(3)", "tmp2.extract_features.py")
    assert caught.value.returncode == 3
    assert not Path(f"/proc/{first['job']}").exists()
    with pytest.raises(CalledProcessError) as caught:
        run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "tmp3.extract_features.py")
    assert caught.value.returncode == -9
    third = made()
    assert third["job"] != first["job"]
    made(name="tmp4.train_model.py")  # may need the memory of the card
    assert not Path(f"/proc/{third['job']}").exists()
    assert made()["job"] != third["job"]


def test_what_a_job_of_a_kept_process_used_is_its_own(run):
    large, small = BenchmarkRecord(), BenchmarkRecord()
    run("wide = bytearray(300 << 20); end = sum(range(10_000_000))", "tmp5.extract_features.py", bench_record=large)
    run("pass", "tmp6.extract_features.py", bench_record=small)
    assert large.max_rss > small.max_rss + 250
    assert large.cpu_time > small.cpu_time + 0.05


def test_the_process_of_a_group_on_a_node_forks_its_jobs_when_the_first_starts(monkeypatch):
    run, local, planned = [], [], ["a job", "another"]

    def fork_jobs(plan, jobs, *_):
        run.append(jobs)
        PythonScript.execute_script = lambda script, path, edit=False: run.append((script, path))

    monkeypatch.setattr(forked_jobs, "fork_jobs", fork_jobs)
    monkeypatch.setattr(PythonScript, "execute_script", pytest.fail)
    dag = SimpleNamespace(needrun_jobs=lambda: planned)
    workflow = SimpleNamespace(localrules=lambda *names: local.extend(names), dag=dag)
    plan = SimpleNamespace(stages=stage_table())
    fork_group(workflow, plan, ["snakemake", "--target-jobs", "tile_slide:image=A"], {}, stage_table)
    assert PythonScript.execute_script is pytest.fail
    fork_group(workflow, plan, ["snakemake", "--local-groupid", "7"], {}, stage_table)
    assert {"tile_slide", "extract_features"} <= set(local)
    assert run == []
    for script in ("one", "two"):
        PythonScript.execute_script(script, "script.py")
    assert run == [planned, ("one", "script.py"), ("two", "script.py")]
