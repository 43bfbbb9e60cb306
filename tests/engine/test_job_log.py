"""A job's log names raw files by their image ids, and a full disk does not stop a job that prints."""

import errno
import os
import traceback
from pathlib import Path
from types import SimpleNamespace

import pytest

from nephroscale.engine.job_log import JobLog, PathRedactor

IMAGES = {
    "P01-OM": "raw/om/Zebrowskaja^Anna 1961.svs",
    "P02-OM": "raw/om/Zebrowskaja^Anna 1961 again.svs",
    "P03-OM": "raw/om/P03.svs",
    "P04-OM": "raw/om/7.svs",
    "P05-OM": "raw/om/O'Neill \\ Ünsal.mrxs",
}


def cohort(images=None, **annotations):
    made = {
        image: SimpleNamespace(
            id=image,
            path=Path(path),
            annotation=annotations.get(image[:3]),
            patient_id=image[:3],
            stain="PASM",
            marker=None,
            modality="OM",
        )
        for image, path in (images or IMAGES).items()
    }
    patients = {image[:3]: SimpleNamespace(person=None) for image in made}
    return SimpleNamespace(images=made, patients=patients)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("where: raw/om/Zebrowskaja^Anna 1961.svs", "where: <P01-OM>"),
        ("where: raw/om/Zebrowskaja^Anna 1961 again.svs", "where: <P02-OM>"),
        (f"open({os.path.abspath(IMAGES['P01-OM'])!r})", "open('<P01-OM>')"),  # noqa: PTH100
        ("Zebrowskaja^Anna 1961.svs, Zebrowskaja^Anna 1961_2.jpg", "<P01-OM>, <P01-OM>_2.jpg"),
        ("raw/om/Zebrowskaja^Anna 1961/Slidedat.ini", "raw/om/<P01-OM>/Slidedat.ini"),
        ("register of P03, line 7, in P03-OM", "register of P03, line 7, in P03-OM"),
        ("raw/om/P03.svs and 7.svs", "<P03-OM> and <P04-OM>"),
        (str(FileNotFoundError(errno.ENOENT, "No such file", IMAGES["P05-OM"])), "[Errno 2] No such file: '<P05-OM>'"),
        ("O'Neill \\ Ünsal", "<P05-OM>"),
        ("nothing of it", "nothing of it"),
    ],
)
def test_names_of_raw_files_are_redacted_and_ids_are_not(text, redacted):
    found = PathRedactor(cohort())(text)
    assert found.replace('"', "'") == redacted


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("tiles of P01-PASM, stain PASM", "tiles of P01-PASM, stain PASM"),
        ("raw/Zebrowskaja/PASM.svs: PASM.svs is empty", "<P01-PASM>: PASM.svs is empty"),
        ("no field in raw/Neill/field.tif, field.tif", "no field in <P02-field>, field.tif"),
        ("P03-Ünsal-x of Ünsal-x.svs", "P03-Ünsal-x of <P03-Ünsal-x>"),
    ],
)
def test_ids_that_contain_a_name_and_names_of_several_patients_stay(text, redacted):
    files = {
        "P01-PASM": "raw/Zebrowskaja/PASM.svs",
        "P01-field": "raw/Zebrowskaja/field.tif",
        "P02-field": "raw/Neill/field.tif",
        "P03-Ünsal-x": "raw/Ünsal-x.svs",
    }
    assert PathRedactor(cohort(files))(text) == redacted


def test_annotations_link_targets_and_neighbouring_dicom_files_are_redacted(tmp_path):
    slides = tmp_path / "archive"
    slides.mkdir()
    for name in ("Zebrowskaja-1.dcm", "Zebrowskaja-2.dcm"):
        (slides / name).touch()
    link = tmp_path / "linked.dcm"
    link.symlink_to(slides / "Zebrowskaja-1.dcm")
    drawn = tmp_path / "drawn by Zebrowskaja.geojson"
    known = cohort({"P01-OM": str(link), "P02-OM": str(slides / "Zebrowskaja-1.dcm")}, P01=drawn)
    redact = PathRedactor(known, known.images.values())
    for path in (slides / "Zebrowskaja-1.dcm", slides / "Zebrowskaja-2.dcm", link, drawn):
        assert "Zebrowskaja" not in redact(f"cannot read {str(path)!r}, {path.name}, {path.stem}")


def test_a_log_redacts_printed_text_and_tracebacks(tmp_path):
    with JobLog(tmp_path / "logs/P01.log") as log:
        print("before", file=log)
        log.redact = PathRedactor(cohort())
        print("reading", Path(IMAGES["P01-OM"]), "é\udce4", file=log)
        try:
            Path(IMAGES["P02-OM"]).read_bytes()
        except FileNotFoundError:
            traceback.print_exc(file=log)
        assert "Zebrowskaja" not in log.redacted(IMAGES["P02-OM"])
    text = (tmp_path / "logs/P01.log").read_text(encoding="utf-8")
    assert text.startswith("before\nreading <P01-OM> é\\udce4\nTraceback")
    assert text.endswith("No such file or directory: '<P02-OM>'\n")


def test_a_log_on_a_full_disk_loses_its_lines_and_nothing_else(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    (tmp_path / "P01.log").symlink_to("/dev/full")
    with JobLog(tmp_path / "P01.log") as log:
        for _ in range(3):
            print("x" * 10_000, file=log)
        log.flush()
    assert log.closed


def test_a_log_without_space_is_skipped_and_one_without_permission_is_an_error(tmp_path, monkeypatch):
    def refuse(code):
        def call(*_, **__):
            raise OSError(code, os.strerror(code))

        return call

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse(errno.ENOSPC))
        with JobLog(tmp_path / "logs/P01.log") as log:
            print("lost", file=log)
        patch.setattr(Path, "mkdir", refuse(errno.EACCES))
        with pytest.raises(PermissionError):
            JobLog(tmp_path / "logs/P01.log")
    assert list(tmp_path.iterdir()) == []
