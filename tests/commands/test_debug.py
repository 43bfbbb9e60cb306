"""`nephroscale debug` on a mock study, with scripted input."""

import io

import pytest

from nephroscale.cli import main
from nephroscale.commands import debug
from nephroscale.errors import Rejected
from nephroscale.stages.tem import Tem
from support.mock_study import Study


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    models = {"tem-only": {"modalities": ["TEM"]}}
    return Study.make(tmp_path_factory.mktemp("debug"), models=models, images=[("TEM", "", "")] * 3)


@pytest.fixture
def study(made, monkeypatch):
    monkeypatch.chdir(made.folder)
    monkeypatch.setattr(debug, "find_spec", lambda name: None)  # IPython reads no scripted input
    return made


@pytest.fixture
def ask(study, monkeypatch, capsys):
    """Run the command with lines of input: its exit status and what it printed."""

    def run(*arguments, typed=""):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        status = main(["debug", *arguments, "--configfile", "config.yaml"])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


def fail(self, job):
    raised = "by a test"
    raise ValueError(raised)


def reject(self, job):
    raise Rejected("no image can be read")


def test_the_prompt_has_inputs_settings_and_function_of_a_job(ask):
    typed = "print(job.unit, sorted(inputs), inputs['facts'][0].unit)\nprint(settings.size_px, len(rows), make)\n"
    status, printed = ask("tem/P000003", typed=typed)
    assert status == 0
    assert "P000003 ['facts'] P000003" in printed
    assert "224 3 <function" in printed
    assert "Traceback" not in printed


def test_a_stage_with_one_unit_needs_no_unit(ask):
    status, printed = ask("folds", typed="print(job.stage.name, job.unit)\n")
    assert (status, "folds cohort" in printed) == (0, True)


def test_what_is_made_at_the_prompt_is_removed(ask, study, monkeypatch):
    monkeypatch.setattr(Tem, "make", lambda self, job: {"bytes": job.out.write_bytes(b"made")})
    status, printed = ask("tem/P000003", typed="print(make(), job.out.read_bytes())\n")
    assert (status, "{'bytes': 4} b'made'" in printed) == (0, True)
    assert not list((study.folder / "store/tmp").iterdir())


def test_a_job_can_be_run(ask, monkeypatch):
    monkeypatch.setattr(Tem, "make", lambda self, job: {"images": len(job.images())})
    assert ask("tem/P000003", "--run") == (0, "tem of P000003 is made; figures: {'images': 3}\n")


def test_a_rejection_is_no_failure(ask, monkeypatch):
    monkeypatch.setattr(Tem, "make", reject)
    assert ask("tem/P000003", "--run") == (0, "tem of P000003 is rejected: no image can be read\n")


def test_a_failure_opens_the_debugger_where_it_happened(ask, monkeypatch):
    monkeypatch.setattr(Tem, "make", fail)
    status, printed = ask("tem/P000003", "--run", typed="p raised + '!'\nq\n")
    assert status == 1
    assert "ValueError: by a test" in printed
    assert "'by a test!'" in printed


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("stems/P000003", "There is no stage 'stems'"),
        ("tem/P99", "The stage tem has no unit 'P99'"),
        ("tem", "The stage tem has several units"),
        ("tiles", "has several units, or none"),
    ],
)
def test_an_unknown_job_is_one_error_message(ask, named, message):
    status, printed = ask(named)
    assert status == 1
    assert message in printed
    assert "fix: " in printed
    assert "Traceback" not in printed


def test_inputs_that_are_not_made_are_named(study, tmp_path, monkeypatch, ask):
    copy = study.copy_to(tmp_path / "copy")
    monkeypatch.chdir(copy.folder)
    copy.plan().receipt_path("register", "P000003").unlink()
    status, printed = ask("tem/P000003")
    assert status == 1
    assert "A required input has not been produced yet" in printed
    assert "register of P000003" in printed
