"""No metadata or path of a raw file reaches an output: planted names are searched for in all output files."""

import base64
import csv
import io
import os
import re

import cv2
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from nephroscale_demo.slide_file import write_slide

pytestmark = pytest.mark.workflow

NAME = "Zebrowskaja"
LABEL = (255, 0, 255)  # a colour that no synthetic image has


def move(project, image_id, change=None):
    """Move an image's file to a path that contains the patient's name."""
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
    """Write the slide as a scanner does: the patient in its description, with photographs of label and glass."""
    with tifffile.TiffFile(old) as slide:
        picture, mpp = slide.pages[0].asarray(), float(re.search(r"MPP = ([0-9.]+)", slide.pages[0].description)[1])
    write_slide(new, picture, mpp)
    with tifffile.TiffFile(new, mode="r+") as slide:
        description = slide.pages[0].description
        slide.pages[0].tags["ImageDescription"].overwrite(f"{description}|Patient = {NAME}, Anna|User = {NAME}")
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
    info = PngImagePlugin.PngInfo()
    info.add_text("Patient", f"{NAME}, Anna")
    Image.open(old).save(new, pnginfo=info)


def name_field(old, new):
    tifffile.imwrite(new, tifffile.imread(old), description=f"<OME><Name>{NAME}</Name></OME>", metadata=None)


def made_files(project):
    """All files of a run, with Snakemake's logs and metadata, without the links to raw files."""
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


def share_of_label(picture):
    """The share of pixels whose channels all differ by less than 40 from the label's."""
    lowest, highest = ([min(max(c + by, 0), 255) for c in LABEL] for by in (-39, 39))
    return np.count_nonzero(cv2.inRange(picture, np.array(lowest), np.array(highest))) / picture[..., 0].size


def name_in_outputs(project):
    """Files that hold the name in text, file name or picture, and the number of pictures read."""
    found, pictures_read = [], 0
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
            pictures_read += 1
            picture = Image.open(io.BytesIO(encoded))
            texts = " ".join(map(str, picture.info.values()))
            if NAME in texts or share_of_label(np.asarray(picture.convert("RGB"))) > 0.01:
                found.append(relative)
    return found, pictures_read


def test_a_name_planted_in_raw_files_and_their_paths_is_in_no_output(project):
    # Only what is made of the other patients' own images is there already.
    move(project, "P01-OM", name_slide)
    move(project, "P01-TEM1", name_micrograph)
    move(project, "P01-IgG", name_field)
    move(project, "P01-TEM2", lambda old, new: new.write_bytes(old.read_bytes()[:200]))
    move(project, "P07-OM", lambda old, new: new.write_bytes(old.read_bytes()[:20000]))
    slide = next((project.path / "demo/tiny").glob(f"{NAME}*/*P01.svs"))
    with tifffile.TiffFile(slide) as file:
        assert NAME in file.pages[0].description
        assert len([page for page in file.pages if page.description.split("\n")[-1][:5] in ("label", "macro")]) == 2
    run = project.run()
    assert run.code == 0, run.output
    assert NAME.lower() not in run.output.lower()
    # Rejected images are named by their ids, and the other jobs run.
    assert "Rejected:" in run.output
    assert "tiles of P07-OM" in run.output
    assert "P01-TEM2" in (project.path / "results/tiny/report/index.html").read_text()
    found, pictures_read = name_in_outputs(project)
    assert found == []
    assert pictures_read > 10
    for command in (["status"], ["audit"], ["trace", "report"]):
        code, text = project.nephroscale(*command)
        assert code == 0, text
        assert NAME.lower() not in text.lower()


def test_a_name_planted_in_a_dicom_slide_is_in_no_output(made, tmp_path, shared):
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
    assert name_in_outputs(project)[0] == []


# Faults of three jobs of `register`, placed before their script's call: the slide vanishes before the job starts, a
# library fails on it, and the program fails after it has printed the path.
FAULTS = {
    "P01": ("The file does not exist.", "os.unlink(slide)"),
    "P02": ("Unexpected NotADirectoryError", "register.register_images = lambda images, out: open(slide + '/slide')"),
    "P03": ("Unexpected ZeroDivisionError", "register.register_images = lambda images, out: print(slide) or 1 / 0"),
}


def test_the_error_of_a_failed_job_does_not_contain_a_name_in_a_raw_file_s_path(checked_out, tmp_path):
    project = checked_out.copy_to(tmp_path / "project")
    for patient in FAULTS:
        move(project, f"{patient}-OM")
    script = project.path / "scripts/register_patient.py"
    lines = ["import glob, os", "from nephroscale.slides import register"]
    for patient, (_, fault) in FAULTS.items():
        find = f"slide = glob.glob('demo/tiny/*/* 1961-05-04 {patient}.svs')[0]"
        lines.append(f"if snakemake.wildcards.patient == '{patient}':\n    {find}\n    {fault}")
    script.write_text(script.read_text().replace("run_job(", "\n".join(lines) + "\nrun_job("))
    run = project.run("register", options=("--keep-going",))
    assert run.code != 0
    assert NAME.lower() not in run.output.lower()
    logs = project.path / "results/tiny/logs/register"
    for patient, (message, _) in FAULTS.items():
        assert message in run.output
        assert message in (logs / f"{patient}.error").read_text()
        assert f"<{patient}-OM>" in (logs / f"{patient}.log").read_text()
    assert name_in_outputs(project)[0] == []
    _, text = project.nephroscale("status")
    assert NAME.lower() not in text.lower()
