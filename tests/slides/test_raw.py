import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import openslide
import pytest
from blake3 import blake3

from nephroscale.errors import NephroscaleError
from nephroscale.slides.raw import digest, link_raw, list_files, stat_signature


def mirax(folder, stem="张三 {1}"):
    data = folder / stem
    data.mkdir(parents=True)
    for name, text in (("Slidedat.ini", "[GENERAL]"), ("Data0000.dat", "a"), ("Index.dat", "b")):
        (data / name).write_text(text)
    (folder / f"{stem}.mrxs").write_text("x")
    return folder / f"{stem}.mrxs"


def test_a_plain_file_is_listed_alone(tmp_path):
    path = tmp_path / "Müller {x} 1.SVS"
    path.write_bytes(b"slide")
    assert list_files(path) == [("slide.svs", path.resolve())]
    assert digest(path) == blake3(b"slide").hexdigest()
    link = link_raw(path, tmp_path / "links")
    assert link == tmp_path / "links/slide.svs"
    assert link.read_bytes() == b"slide"


def test_mrxs_includes_its_folder(tmp_path):
    path = mirax(tmp_path / "raw")
    names = [name for name, _ in list_files(path)]
    assert names == ["slide.mrxs", "slide/Data0000.dat", "slide/Index.dat", "slide/Slidedat.ini"]
    link = link_raw(path, tmp_path / "links")
    assert link.name == "slide.mrxs"
    assert (link.with_suffix("") / "Slidedat.ini").read_text() == "[GENERAL]"
    before = digest(path)
    assert digest(link) == before
    (path.with_suffix("") / "Data0000.dat").write_text("c")
    assert digest(path) != before


def test_mrxs_without_its_folder_is_an_error(tmp_path):
    path = mirax(tmp_path)
    shutil.rmtree(path.with_suffix(""))
    with pytest.raises(NephroscaleError, match="Slidedat"):
        list_files(path)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(NephroscaleError, match="does not exist"):
        list_files(tmp_path / "absent.svs")


def test_dicom_files_of_one_series_belong_together(tmp_path, shared):
    folder = tmp_path / "raw"
    folder.mkdir()
    fixtures = shared / "data/slides/fixtures"
    shutil.copyfile(fixtures / "boxes_0.dcm", folder / "b 图.dcm")
    shutil.copyfile(fixtures / "boxes_0.dcm", folder / "a.dcm")
    shutil.copyfile(shared / "data/slides/gcp-jpeg.dicom", folder / "other.dicom")
    expected = [("slide-0001.dcm", (folder / "b 图.dcm").resolve()), ("slide.dcm", (folder / "a.dcm").resolve())]
    assert list_files(folder / "b 图.dcm") == list_files(folder / "a.dcm") == expected
    assert list_files(folder / "other.dicom") == [("slide.dcm", (folder / "other.dicom").resolve())]
    with pytest.raises(NephroscaleError, match="more than one"):
        list_files(folder)
    (folder / "other.dicom").unlink()
    assert list_files(folder) == expected
    with openslide.OpenSlide(link_raw(folder, tmp_path / "links")) as slide:
        assert slide.dimensions == (16, 16)


def test_vms_includes_the_files_that_it_names(tmp_path):
    (tmp_path / "a.vms").write_text("[Virtual Microscope Specimen]\nImageFile=a.jpg\nMapFile=a_map.jpg\nNoLayers=1\n")
    (tmp_path / "a.jpg").write_bytes(b"1")
    with pytest.raises(NephroscaleError, match="a_map"):
        list_files(tmp_path / "a.vms")
    (tmp_path / "a_map.jpg").write_bytes(b"2")
    assert [name for name, _ in list_files(tmp_path / "a.vms")] == ["a.jpg", "a_map.jpg", "slide.vms"]
    assert link_raw(tmp_path / "a.vms", tmp_path / "links").name == "slide.vms"


def test_linking_again_refreshes_and_clears(tmp_path):
    first, second, folder = tmp_path / "a.svs", tmp_path / "b.tiff", tmp_path / "links"
    first.write_bytes(b"1")
    second.write_bytes(b"2")
    link = link_raw(first, folder)
    inode = os.lstat(link).st_ino
    (folder / "annotation").mkdir()
    (folder / "annotation/slide.json").symlink_to(first)
    assert link_raw(first, folder) == link
    assert os.lstat(link).st_ino == inode, "a link that is right stays"
    assert link_raw(second, folder).read_bytes() == b"2"
    assert sorted(p.name for p in folder.iterdir()) == ["annotation", "slide.tiff"]
    assert (folder / "annotation/slide.json").is_symlink()


def test_concurrent_callers_agree(tmp_path):
    path = mirax(tmp_path / "raw")
    with ThreadPoolExecutor(8) as pool:
        links = set(pool.map(lambda _: link_raw(path, tmp_path / "links"), range(40)))
    assert links == {tmp_path / "links/slide.mrxs"}
    assert len([p for p in (tmp_path / "links").rglob("*") if p.is_symlink()]) == 4


def test_the_signature_changes_with_time_size_and_inode(tmp_path):
    path = tmp_path / "a.svs"
    path.write_bytes(b"12")
    seen = {stat_signature(path)[0]}
    assert stat_signature(path) == (next(iter(seen)), 2)
    os.utime(path, ns=(1, 1))
    seen.add(stat_signature(path)[0])
    path.write_bytes(b"123")
    os.utime(path, ns=(1, 1))
    seen.add(stat_signature(path)[0])
    copy = tmp_path / "copy"
    shutil.copyfile(path, copy)
    os.utime(copy, ns=(1, 1))
    copy.replace(path)
    seen.add(stat_signature(path)[0])
    assert len(seen) == 4
