import json
import os
import socket
import subprocess
import sys

import pytest

from nephroscale.engine.snakemake.stale_lock import NOTE, clear_dead_run, note_run


@pytest.fixture
def folder(tmp_path):
    """The folder `.snakemake` of a run, with its lock and its note."""
    (tmp_path / "locks").mkdir(parents=True)
    (tmp_path / "locks/0.input.lock").touch()
    return tmp_path


def note_dead(folder, **other):
    """The note of a process that has ended."""
    code = "import sys; from pathlib import Path; from nephroscale.engine.snakemake.stale_lock import note_run; "
    code += "note_run(Path(sys.argv[1]), local=True)"
    subprocess.run([sys.executable, "-c", code, folder], check=True, start_new_session=True)
    note = json.loads((folder / NOTE).read_text()) | other
    (folder / NOTE).write_text(json.dumps(note))


def locked(folder):
    return any((folder / "locks").iterdir())


def test_the_lock_of_a_dead_run_is_removed(folder, capsys):
    note_dead(folder)
    assert clear_dead_run(folder)
    assert not locked(folder)
    assert "was killed" in capsys.readouterr().err


def test_the_lock_of_a_living_run_stands(folder):
    note_run(folder, local=True)
    assert not clear_dead_run(folder)
    assert locked(folder)


def test_the_lock_of_a_run_whose_jobs_live_on_here_stands(folder):
    note_dead(folder, group=os.getpgrp())
    assert not clear_dead_run(folder)


def test_the_lock_of_a_run_on_another_machine_stands(folder):
    note_dead(folder, host=socket.gethostname() + "-other")
    assert not clear_dead_run(folder)


def test_a_lock_without_a_note_stands(folder):
    assert not clear_dead_run(folder)
    assert locked(folder)


def test_a_reused_process_id_is_not_taken_for_the_run(folder):
    note_dead(folder, pid=os.getpid())
    assert clear_dead_run(folder)


def test_the_jobs_of_a_dead_run_are_cancelled_by_its_name(folder, tmp_path, monkeypatch):
    note_dead(folder, group=None)
    (folder / "log").mkdir()
    (folder / "log/now.snakemake.log").write_text("SLURM run ID: 11-22\nmore\n")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "squeue").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/arguments\ncat {tmp_path}/queue\n')
    (programs / "scancel").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/cancelled\n: > {tmp_path}/queue\n')
    (tmp_path / "queue").write_text("5\n6\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    assert clear_dead_run(folder)
    assert (tmp_path / "cancelled").read_text() == "5 6\n"
    assert "--name=11-22" in (tmp_path / "arguments").read_text()
