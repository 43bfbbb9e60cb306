import tempfile

import pytest

from nephroscale.engine import node_copy
from nephroscale.engine.node_copy import copy_raw, node_folder
from nephroscale.errors import NephroscaleError
from nephroscale.slides import raw


@pytest.fixture
def slide(tmp_path):
    path = tmp_path / "a slide.svs"
    path.write_bytes(b"pixels" * 1000)
    return path


@pytest.fixture
def mirax(tmp_path):
    (tmp_path / "B").mkdir()
    (tmp_path / "B.mrxs").write_bytes(b"head")
    (tmp_path / "B/Slidedat.ini").write_bytes(b"[GENERAL]")
    (tmp_path / "B/Data0000.dat").write_bytes(b"pixels")
    return tmp_path / "B.mrxs"


def test_a_copy_has_a_neutral_name(slide, tmp_path):
    copy = copy_raw(slide, raw.digest(slide), tmp_path / "staged")
    assert copy.name == "slide.svs"
    assert not copy.is_symlink()
    assert copy.read_bytes() == slide.read_bytes()


def test_all_files_of_a_slide_are_copied(mirax, tmp_path):
    copy = copy_raw(mirax, raw.digest(mirax), tmp_path / "staged")
    assert sorted(p.name for p in (copy.parent / "slide").iterdir()) == ["Data0000.dat", "Slidedat.ini"]
    assert not any(p.is_symlink() for p in copy.parent.rglob("*"))


def test_other_bytes_than_those_registered_are_refused(slide, tmp_path):
    registered = raw.digest(slide)
    slide.write_bytes(b"others")
    with pytest.raises(NephroscaleError, match="differ from the registered ones"):
        copy_raw(slide, registered, tmp_path / "staged")


def test_without_space_the_original_file_is_read(slide, tmp_path, monkeypatch):
    monkeypatch.setattr(node_copy, "MARGIN", 1 << 62)
    assert copy_raw(slide, raw.digest(slide), tmp_path / "staged") is None


def test_the_folder_is_under_tmpdir_and_gone_afterwards(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with node_folder(wanted=True) as folder:
        assert folder.parent == tmp_path
        (folder / "slide").touch()
    assert not folder.exists()
    with node_folder(wanted=False) as folder:
        assert folder is None
