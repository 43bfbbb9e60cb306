"""What files tell of a patient beside their pixels stays in them: planted names are looked for in all that is made."""

import base64
import csv
import io
import os
import re

import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from nephroscale_demo.slide_file import write_slide
from support.project import Project

pytestmark = pytest.mark.workflow

NAME = "Zebrowskaja"
LABEL = (255, 0, 255)  # a colour that no synthetic image has


def move(project, image_id, change=None):
    """Put an image's file into a folder, and under a name, that tell the patient's."""
    table = project.path / "config/tiny/images.csv"
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    row = next(row for row in rows if row["image_id"] == image_id)
    old = project.path / "demo/tiny" / row["path"]
    row["path"] = f"{NAME}^Anna/{NAME.upper()} 1961-05-04 {old.name}"
    new = project.path / "demo/tiny" / row["path"]
    new.parent.mkdir(exist_ok=True)
    (change or (lambda source, target: source.rename(target)))(old, new)
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def name_slide(old, new):
    """The slide as a scanner writes it: the patient in its description, and photographs of the label and the glass."""
    with tifffile.TiffFile(old) as slide:
        picture, mpp = slide.pages[0].asarray(), float(re.search(r"MPP = ([0-9.]+)", slide.pages[0].description)[1])
    write_slide(new, picture, mpp)
    with tifffile.TiffFile(new, mode="r+") as slide:
        said = slide.pages[0].description
        slide.pages[0].tags["ImageDescription"].overwrite(f"{said}|Patient = {NAME}, Anna|User = {NAME}")
    photograph = np.full((120, 160, 3), LABEL, np.uint8)
    with tifffile.TiffWriter(new, append=True) as writer:
        for kind in ("label", "macro"):
            writer.write(
                photograph,
                photometric="rgb",
                description=f"Aperio Image Library, nephroscale demo\n{kind} 160x120|Patient = {NAME}",
                subfiletype=1 if kind == "label" else 9,
                metadata=None,
            )


def name_micrograph(old, new):
    told = PngImagePlugin.PngInfo()
    told.add_text("Patient", f"{NAME}, Anna")
    Image.open(old).save(new, pnginfo=told)


def name_field(old, new):
    tifffile.imwrite(new, tifffile.imread(old), description=f"<OME><Name>{NAME}</Name></OME>", metadata=None)


def made_files(project):
    """Everything that a run leaves, Snakemake's own logs and notes with it; not the links that lead to raw files."""
    for top in ("results", "store", ".snakemake"):
        for folder, names, files in os.walk(project.path / top):
            if folder == str(project.path / "results/tiny"):
                names.remove("raw")
            for name in [*names, *files]:
                yield os.path.join(folder, name)  # noqa: PTH118


def pictures(path, data):
    """Pictures in a file, also those within a page."""
    if data[:4] in (b"\x89PNG", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xdb"):
        yield data
    if path.endswith(".html") or b"<html" in data[:300].lower():
        for text in re.findall(rb"data:image/(?:png|jpeg|webp);base64,([A-Za-z0-9+/=]+)", data):
            yield base64.b64decode(text)


def betrayed(project):
    """Files that tell the name by text, file name or picture, and how many pictures were looked at."""
    found, looked = [], 0
    for path in made_files(project):
        relative = os.path.relpath(path, project.path)
        target = os.readlink(path) if os.path.islink(path) else ""  # noqa: PTH114, PTH115
        if NAME.lower() in (relative + target).lower():
            found.append(relative)
        if target or not os.path.isfile(path):  # noqa: PTH113
            continue
        with open(path, "rb") as stream:  # noqa: PTH123
            data = stream.read()
        if NAME.lower().encode() in data.lower():
            found.append(relative)
        for encoded in pictures(path, data):
            looked += 1
            picture = Image.open(io.BytesIO(encoded))
            told = " ".join(map(str, picture.info.values()))
            pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
            if NAME in told or (np.abs(pixels - LABEL).max(axis=1) < 40).mean() > 0.01:
                found.append(relative)
    return found, looked


def test_a_name_planted_in_raw_files_and_their_paths_is_found_in_nothing_that_is_made(tmp_path):
    project = Project.check_out(tmp_path / "project")
    move(project, "P01-OM", name_slide)
    move(project, "P01-TEM1", name_micrograph)
    move(project, "P01-IgG", name_field)
    move(project, "P01-TEM2", lambda old, new: new.write_bytes(old.read_bytes()[:200]))
    slide = next((project.path / "demo/tiny").glob(f"{NAME}*/*.svs"))
    with tifffile.TiffFile(slide) as file:
        assert NAME in file.pages[0].description
        assert len([page for page in file.pages if page.description.split("\n")[-1][:5] in ("label", "macro")]) == 2
    run = project.run()
    assert run.code == 0, run.output
    assert NAME.lower() not in run.output.lower()
    assert "P01-TEM2" in (project.path / "results/tiny/report/index.html").read_text()
    found, looked = betrayed(project)
    assert found == []
    assert looked > 10
    for command in (["status"], ["audit"], ["trace", "report"]):
        code, said = project.nephroscale(*command)
        assert code == 0, said
        assert NAME.lower() not in said.lower()


def test_a_name_planted_in_a_dicom_slide_is_found_in_nothing_that_is_made(made, tmp_path, shared):
    project = made.copy_to(tmp_path / "project")

    def name_dicom(old, new):
        slide = pydicom.dcmread(shared / "data/slides/gcp-jpeg.dicom")
        slide.PatientName, slide.PatientID, slide.InstitutionName = f"{NAME}^Anna", NAME, NAME
        slide.save_as(new.with_suffix(".dcm"))

    move(project, "P01-OM", name_dicom)
    project.edit("config/tiny/images.csv", " P01.svs", " P01.dcm")
    run = project.run("tiles", options=("--keep-going",))
    assert run.code == 0, run.output
    assert "register/P01" in run.computed
    assert betrayed(project)[0] == []


# What befalls a job of `register`, put before its script: the slide goes before it begins; a library's own error about
# it; and a fault of the program, after the path was printed.
BEFALLS = {
    "The file does not exist.": "os.unlink(SLIDE)",
    "Unexpected NotADirectoryError": "register.register_images = lambda images, out: open(SLIDE + '/slide')",
    "Unexpected ZeroDivisionError": "register.register_images = lambda images, out: print(SLIDE) or 1 / 0",
}


@pytest.mark.parametrize("told", BEFALLS)
def test_a_name_in_the_path_of_a_raw_file_is_told_by_no_job_that_fails(tmp_path, told):
    project = Project.check_out(tmp_path / "project")
    move(project, "P01-OM")
    script = project.path / "scripts/register_patient.py"
    find = "SLIDE = (glob.glob('demo/tiny/*/* 1961-05-04 *') if snakemake.wildcards.patient == 'P01' else [''])[0]"
    lines = ["import glob, os", "from nephroscale.slides import register", find, f"if SLIDE:\n    {BEFALLS[told]}\n"]
    script.write_text(script.read_text().replace("run_job(", "\n".join(lines) + "run_job("))
    run = project.run("register", options=("--keep-going",))
    assert run.code != 0
    assert told in run.output
    assert NAME.lower() not in run.output.lower()
    logs = project.path / "results/tiny/logs/register"
    assert told in (logs / "P01.error").read_text()
    assert "<P01-OM>" in (logs / "P01.log").read_text()
    assert betrayed(project)[0] == []
    _, said = project.nephroscale("status")
    assert NAME.lower() not in said.lower()
