"""The generator writes the same bytes each time, complete files only, and the committed tables."""

import json
import re
from dataclasses import replace

import numpy as np
import openslide
import pytest
import tifffile

from nephroscale_demo.cohorts import COHORTS, make_cohort
from nephroscale_demo.draft import Draft, Sizes
from nephroscale_demo.kidney import SlidePlan
from nephroscale_demo.write import RENDERING, do_work, main, tables_of, write_images, write_tables


def smallest(count=3):
    """A cohort of a slide, a field and a few micrographs."""
    whole = make_cohort("tiny")
    draft = Draft("smallest", 5, Sizes((1280, 896), 1.0, 160, 1.0, (160, 128)))
    row = draft.patient(replace(whole.patients[0], patient_id="P1"))
    draft.slide(row, "MN-II", "P1-OM", "om/P1.svs", glomeruli=(2, 3), annotated=True)
    draft.field(row, "MN-II", "P1-IgG", "im/P1.tif")
    draft.micrographs(row, "LN-V", count, "tem", ".png")
    return draft


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.slow
def test_bytes_do_not_depend_on_order_or_number_of_processes(tmp_path):
    draft = smallest()
    write_images(draft, tmp_path / "a")
    write_images(draft, tmp_path / "b", jobs=2)
    for work in reversed(draft.works):
        do_work(work, tmp_path / "c")
    first = contents(tmp_path / "a")
    assert first == contents(tmp_path / "b")
    del first["manifest.jsonl"], first["truth/cohort.json"]
    assert first == contents(tmp_path / "c")


def test_another_seed_gives_other_images(tmp_path):
    work = smallest().works[1]
    do_work(work, tmp_path / "a")
    do_work(replace(work, plan=replace(work.plan, seed=6)), tmp_path / "b")
    assert contents(tmp_path / "a") != contents(tmp_path / "b")


@pytest.mark.slow
def test_second_call_generates_nothing_and_an_interrupted_one_continues(tmp_path):
    draft = smallest()
    assert write_images(draft, tmp_path) == len(draft.works)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    assert write_images(draft, tmp_path) == 0
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}

    lost, cut = draft.works[1], draft.works[2]
    (tmp_path / lost.path).unlink()
    manifest = tmp_path / "manifest.jsonl"
    lines = manifest.read_text().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["work"] != cut.path]
    manifest.write_text("".join(kept) + lines[-1][:20])  # the last line was being written
    assert write_images(draft, tmp_path) == 2
    assert write_images(draft, tmp_path) == 0


@pytest.mark.slow
def test_an_image_with_a_changed_plan_is_generated_again(tmp_path):
    draft = smallest()
    write_images(draft, tmp_path)
    draft.works[-1] = replace(draft.works[-1], plan=replace(draft.works[-1].plan, label="other"))
    assert write_images(draft, tmp_path) == 1


def test_manifest_digest_covers_every_rendering_module(root):
    """The imports of `do_work` decide the bytes; tables and cohorts do so only through the plans."""
    found = {"write"}
    queue = ["write"]
    while queue:
        text = (root / "resources/demo/nephroscale_demo" / f"{queue.pop()}.py").read_text()
        new = set(re.findall(r"from nephroscale_demo\.(\w+) import", text)) - found
        found |= new
        queue += sorted(new)
    assert found - {"write", "ceiling", "cohorts", "draft", "lesions", "pictures", "tables"} == set(RENDERING)


def test_no_temporary_file_remains_after_a_failure(tmp_path):
    work = smallest().works[1]
    with pytest.raises(Exception, match=r"."):
        do_work(replace(work, plan=replace(work.plan, size=0)), tmp_path)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.slow
def test_a_slide_opens_with_its_scale(tmp_path):
    work = smallest().works[0]
    for vendor, expected in (("aperio", "aperio"), ("generic", "generic-tiff")):
        do_work(replace(work, vendor=vendor), tmp_path / vendor)
        with openslide.OpenSlide(tmp_path / vendor / work.path) as slide:
            assert slide.properties["openslide.vendor"] == expected
            assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(1.0)
            assert slide.dimensions == (1280, 896)
            assert slide.level_count >= 2
            assert not slide.associated_images
        do_work(replace(work, vendor=vendor, states_scale=False), tmp_path / vendor)
        with openslide.OpenSlide(tmp_path / vendor / work.path) as slide:
            assert "openslide.mpp-x" not in slide.properties


@pytest.mark.slow
def test_a_damaged_slide_cannot_be_opened(tmp_path):
    do_work(replace(smallest().works[0], damage=True), tmp_path)
    with pytest.raises((openslide.OpenSlideError, openslide.OpenSlideUnsupportedFormatError)):
        openslide.OpenSlide(tmp_path / "om/P1.svs").read_region((0, 0), 0, (64, 64))


@pytest.mark.slow
def test_raw_files_state_no_date(tmp_path):
    do_work(smallest().works[0], tmp_path)
    with tifffile.TiffFile(tmp_path / "om/P1.svs") as tiff:
        names = {tag.name for page in tiff.pages for tag in page.tags}
    assert not names & {"DateTime", "HostComputer", "Artist"}


@pytest.mark.parametrize("name", sorted(COHORTS))
def test_committed_tables_are_those_of_the_generator(root, name):
    folder = root / "config" / name
    committed = {p.name: p.read_bytes() for p in folder.glob("*.csv")}
    assert committed == {key: text.encode() for key, text in tables_of(make_cohort(name)).items()}


@pytest.mark.parametrize("name", sorted(COHORTS))
def test_ids_and_paths_are_unique(name):
    draft = make_cohort(name)
    for values in ([i.image_id for i in draft.images], [p.patient_id for p in draft.patients]):
        assert len({v.casefold() for v in values}) == len(values)
    written = [f for work in draft.works for f in work.files]
    assert len(set(written)) == len(written)
    assert {i.path for i in draft.images if i.path} == {w.path for w in draft.works}


def test_unchanged_tables_are_not_written_again(tmp_path):
    draft = make_cohort("tiny")
    write_tables(draft, tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    write_tables(draft, tmp_path)
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}


@pytest.mark.slow
def test_command_line(tmp_path, monkeypatch, capsys):
    draft = smallest(1)
    monkeypatch.setitem(COHORTS, "tiny", lambda: draft)
    assert main(["tiny", "--out", str(tmp_path / "raw"), "--tables", str(tmp_path / "tables"), "--jobs", "1"]) == 0
    assert (tmp_path / "tables" / "patients.csv").is_file()
    assert "3 of them generated now" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no cohort"):
        make_cohort("large")


@pytest.mark.slow
def test_outlines_match_pixels(tmp_path):
    """Inside Bowman's capsule the tuft is paler or darker than the tubules: the outline's rim is a dark line."""
    import cv2

    draft = smallest()
    work = draft.works[0]
    assert isinstance(work.plan, SlidePlan)
    do_work(work, tmp_path)
    truth = json.loads((tmp_path / work.truth).read_text())
    grey = tifffile.imread(tmp_path / work.path, level=0).mean(axis=2)
    assert truth["features"]
    for feature in truth["features"]:
        ring = np.array(feature["geometry"]["coordinates"][0])
        assert (ring[0] == ring[-1]).all()
        centre = ring[:-1].mean(axis=0)
        levels = []
        for share in (0.95, 0.987):
            line = np.zeros(grey.shape, np.uint8)
            points = np.round(centre + (ring - centre) * share).astype(np.int32)
            cv2.polylines(line, [points], True, 1, 1)
            levels.append(grey[line > 0].mean())
        urinary_space, capsule = levels
        assert urinary_space > capsule + 40


def test_generator_imports_no_module_of_the_workflow(root):
    folder = root / "resources/demo/nephroscale_demo"
    importing = {
        path.name for path in folder.glob("*.py") if re.search(r"(from|import) nephroscale\b", path.read_text())
    }
    assert importing == {"measures.py", "figures.py", "check.py", "document.py"}
