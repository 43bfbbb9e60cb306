"""Copies of a project share the files of objects, and a test that writes into a shared one is noticed."""

import os
from pathlib import Path

import pytest

from support.linked_copies import copy_project, separate

OBJECT, MODULE, TABLE = Path("store/objects/ab/abc/0"), Path("scripts/__pycache__/a.pyc"), Path("config/patients.csv")


@pytest.fixture
def made(tmp_path):
    for path in (OBJECT, MODULE, TABLE):
        (tmp_path / "made" / path).parent.mkdir(parents=True)
        (tmp_path / "made" / path).write_text("made")
    (tmp_path / "made" / OBJECT).chmod(0o400)
    (tmp_path / "made" / OBJECT).parent.chmod(0o500)
    (tmp_path / "made/link").symlink_to(OBJECT)
    return tmp_path / "made"


def state(path):
    found = path.lstat()
    return found.st_mode, found.st_mtime_ns, found.st_size


def test_only_objects_and_compiled_modules_are_shared(made, tmp_path):
    copy = tmp_path / "below/copy"
    copy_project(made, copy)
    assert (copy / "link").readlink() == OBJECT
    for path in made.rglob("*"):
        if not path.is_symlink():
            other = copy / path.relative_to(made)
            assert state(other) == state(path)
            assert other.samefile(path) == (path.relative_to(made) in {OBJECT, MODULE})


def test_a_file_is_separated_before_it_is_damaged(made, tmp_path):
    copy_project(made, tmp_path / "copy")
    before = state(made / OBJECT)
    file = separate(tmp_path / "copy" / OBJECT)
    assert file.read_text() == "made"
    assert file.stat().st_mtime_ns == before[1]
    file.write_text("damaged")
    assert ((made / OBJECT).read_text(), state(made / OBJECT)) == ("made", before)
    copy_project(made, tmp_path / "another")


def test_a_change_of_a_shared_file_is_noticed_at_the_next_copy(made, tmp_path):
    copy_project(made, tmp_path / "copy")
    (tmp_path / "copy" / OBJECT).chmod(0o600)
    (tmp_path / "copy" / OBJECT).write_text("gone")
    os.utime(tmp_path / "copy" / OBJECT, ns=(1, 1))
    with pytest.raises(AssertionError, match="is shared and was changed"):
        copy_project(made, tmp_path / "another")
