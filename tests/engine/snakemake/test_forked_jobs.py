import json
from subprocess import CalledProcessError
from types import SimpleNamespace

import pytest
from snakemake.benchmark import BenchmarkRecord

from nephroscale.engine.snakemake import forked_jobs
from nephroscale.engine.snakemake.forked_jobs import ForkedJobs

pytestmark = pytest.mark.slow

REPORT = """
import json, os, sys, tempfile
known = [name for name in ("wave", "nephroscale.cohort", "nephroscale.stages") if name in sys.modules]
found = {"known": known, "name": __name__, "folder": tempfile.gettempdir(), "home": os.environ.get("HOME")}
with open(sys.argv[0] + ".json", "w") as stream:
    json.dump(found, stream)
"""


@pytest.fixture(scope="module")
def passed_on():
    return []


@pytest.fixture(scope="module")
def jobs(passed_on):
    return ForkedJobs(["wave", "no.such.module"], lambda *call: passed_on.append(call))


@pytest.fixture
def run(jobs, tmp_path):
    """Run a source as the script of a job; give its path."""

    def execute(source, **changed):
        path = tmp_path / "script.py"
        path.write_text(source)
        known = {"container_img": None, "conda_env": None, "env_modules": None, "shadow_dir": None}
        known |= {"resources": {"tmpdir": str(tmp_path)}, "bench_record": BenchmarkRecord()}
        jobs.execute(SimpleNamespace(**known | changed), str(path))
        return path

    return execute


def test_a_script_finds_packages_imported_and_modules_of_the_project_not(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "set after the server was started")
    record = BenchmarkRecord()
    found = json.loads(run(REPORT, bench_record=record).with_suffix(".py.json").read_text())
    assert found["known"] == ["wave"]
    assert found["name"] == "__main__"
    assert found["folder"] == str(tmp_path)
    assert found["home"] == "set after the server was started"
    assert record.running_time > 0


@pytest.mark.parametrize(
    ("source", "status"),
    [("import sys; sys.exit(3)", 3), ("1 / 0", 1), ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9)],
)
def test_a_failed_script_gives_its_status(run, source, status):
    with pytest.raises(CalledProcessError) as caught:
        run(source)
    assert caught.value.returncode == status


def test_a_container_and_an_installation_during_the_run_are_left_to_snakemake(run, passed_on, monkeypatch):
    run("raise SystemExit(1)", container_img="image.sif")
    assert len(passed_on) == 1
    monkeypatch.setattr(forked_jobs, "_time_of_packages", lambda: 0)
    run("raise SystemExit(1)")
    assert len(passed_on) == 2
