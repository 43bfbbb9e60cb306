"""The table of the quality of TEM images."""

import csv

import numpy as np
from PIL import Image, ImageDraw

from nephroscale.reporting.tem_quality import write_tem_quality
from nephroscale.slides.facts import ImageFacts, Scale
from nephroscale.tem.settings import TemSettings
from nephroscale.tem.tem import TemImage, prepare_tem


def micrograph(folder, name, side, *, blurred=False, bar=False):
    grey = np.random.default_rng(len(name)).integers(40, 200, (side // 8, side // 8)).astype(np.uint8)
    image = Image.fromarray(grey).resize((side, side), Image.Resampling.BICUBIC)
    if blurred:
        image = image.resize((side // 16, side // 16)).resize((side, side), Image.Resampling.BICUBIC)
    if bar:
        ImageDraw.Draw(image).rectangle([20, side - 30, 140, side - 24], fill=255)
    image.save(folder / f"{name}.png")
    return TemImage(name, folder / f"{name}.png", ImageFacts(scale=Scale(10.0, "nm", "table")))


def test_each_image_has_a_row_with_its_figures(tmp_path):
    patients = {
        "P2": [micrograph(tmp_path, "A", 400, bar=True), micrograph(tmp_path, "B", 240)],
        "P1": [micrograph(tmp_path, "C", 400, blurred=True)],
    }
    settings = TemSettings(size_px=64, instance="patch", max_empty_fraction=1.0)
    for patient, images in patients.items():
        prepare_tem(images, settings, tmp_path / patient)
    write_tem_quality(tmp_path / "out.csv", {patient: tmp_path / patient for patient in patients})
    with (tmp_path / "out.csv").open() as file:
        rows = {row["image_id"]: row for row in csv.DictReader(file)}
    assert [(row["patient_id"], image) for image, row in rows.items()] == [("P1", "C"), ("P2", "A"), ("P2", "B")]
    assert {image: row["small"] for image, row in rows.items()} == {"A": "0", "B": "1", "C": "0"}
    bar = 121 * 7 / 400**2
    assert bar <= float(rows["A"]["marked"]) < 3 * bar
    assert float(rows["C"]["sharpness"]) < 0.8 * float(rows["A"]["sharpness"])
    assert all(row[name] for row in rows.values() for name in ("drift", "knife_marks", "empty", "illumination"))
