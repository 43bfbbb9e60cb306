"""A study of a few painted images, so small that each stage makes a unit in seconds."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import tifffile

from support.fluorescence import draw_field

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SIDE = 512
DISCS = ((140, 150, 50), (180, 370, 56), (370, 250, 52))
CLASSES = ("IgAN", "MN")
#: Patient, class, use. Each class has enough patients for two folds.
PATIENTS = [(f"P{k}", CLASSES[k % 2], "diagnosis") for k in range(6)]
PATIENTS += [("S0", "IgAN", "segmentation"), ("E0", "MN", "external")]


def small_config() -> dict[str, Any]:
    """The configuration: every stage has a unit, and every setting is as cheap as it can be."""
    return {
        "data": {"root": "raw", "patients": "patients.csv", "images": "images.csv"},
        "results": "results",
        "store": {"path": "store"},
        "task": {"classes": {name: name for name in CLASSES}, "min_per_class": 2, "missing_modalities": "mask"},
        "om": {"mpp": 1.0, "normalisation": "reinhard"},
        "im": {"mpp": 1.0, "panel": ["IgG"]},
        "tem": {"size_px": 64},
        "glomeruli": {"mpp": 4.0, "unet": {"width": 8, "steps": 4}},
        "features": {"om_glomeruli": 1},
        "folds": {"n_folds": 2, "validation_fraction": 0.34},
        "train": {"epochs": 1, "patience": 1, "seeds": [1]},
        "models": {"cmusnet": {}},
        "report": {"swaps": 100, "permutations": 19},
    }


def deposits_config() -> dict[str, Any]:
    """What the configuration has for the readings of `write_study(..., deposits=True)`."""
    return {"variants": ["plain", "svm"], "backbone": {"size_px": 64}, "head_steps": 2, "epochs": 1}


def write_study(
    folder: Path,
    *,
    deposits: bool = False,
    outlined_im: bool = False,
    patients: Sequence[tuple[str, str, str]] = PATIENTS,
) -> None:
    """Write tables and images to a folder; with `deposits`, all have two micrographs with readings.

    With `outlined_im`, the patients set apart have IM fields with outlines, and glomeruli are searched in the IM field
    of the first patient.
    """
    (folder / "raw").mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    for number, (patient, _, use) in enumerate(patients):
        random = np.random.default_rng(number)
        om = {"image_id": f"{patient}-OM", "modality": "OM", "stain": "PASM", "path": f"{patient}-OM.tif", "mpp": 1.0}
        tifffile.imwrite(folder / "raw" / om["path"], _paint_om(random), tile=(256, 256), photometric="rgb")
        if use != "segmentation" and number > 1:  # of the first patient's slide the segmenter finds the glomeruli
            om["roi"] = "whole"
        if use == "segmentation" or number == 1:  # of the second patient's slide a person has outlined them
            om["annotation"] = f"{patient}-OM.geojson"
            (folder / "raw" / om["annotation"]).write_text(json.dumps(_outlines()))
        rows.append(om | {"patient_id": patient})
        if outlined_im and (use == "segmentation" or number == 0):
            rows.append({"patient_id": patient} | _write_im_field(folder, patient, number, outlined=number > 0))
        if use != "segmentation" and not (outlined_im and number == 0):
            im = {
                "image_id": f"{patient}-IM",
                "modality": "IM",
                "marker": "IgG",
                "path": f"{patient}-IM.tif",
                "mpp": 0.5,
            }
            im |= {"roi": "whole", "exposure_ms": 100, "gain": 1}
            tifffile.imwrite(folder / "raw" / im["path"], _paint_im(random))
            rows.append(im | {"patient_id": patient})
        if use == "segmentation" and not deposits:
            continue
        for name, reading in ((f"{patient}-TEM", "0"), *([(f"{patient}-TEM2", "mesangial")] if deposits else [])):
            tem = {"image_id": name, "modality": "TEM", "path": f"{name}.png", "nm_per_px": 8}
            cv2.imwrite(str(folder / "raw" / tem["path"]), paint_tem(random, spots=reading != "0"))
            rows.append(tem | {"patient_id": patient} | ({"deposits": reading} if deposits else {}))
    _write_table(folder / "images.csv", rows)
    people = [{"patient_id": patient, "diagnosis": label, "use": use} for patient, label, use in patients]
    _write_table(folder / "patients.csv", people)


def _write_im_field(folder: Path, patient: str, number: int, *, outlined: bool) -> dict[str, Any]:
    field = draw_field(number, side=256)
    im = {"image_id": f"{patient}-IM", "modality": "IM", "marker": "IgG", "path": f"{patient}-IM.tif", "mpp": 1.0}
    tifffile.imwrite(folder / "raw" / im["path"], np.kron(field.pixels[..., 0], np.ones((2, 2), np.uint16)))
    if outlined:
        im["annotation"] = f"{patient}-IM.geojson"
        rings = [(2 * np.vstack([points, points[:1]])).tolist() for points in field.outlines]
        (folder / "raw" / im["annotation"]).write_text(json.dumps(_features(rings)))
    return im


def write_new_patient(folder: Path) -> None:
    """Write the tables `new.csv` and `new_images.csv` and the images of a patient who is only predicted."""
    random = np.random.default_rng(99)
    tifffile.imwrite(folder / "raw/N0-OM.tif", _paint_om(random), tile=(256, 256), photometric="rgb")
    tifffile.imwrite(folder / "raw/N0-IM.tif", _paint_im(random))
    cv2.imwrite(str(folder / "raw/N0-TEM.png"), paint_tem(random))
    om = {"image_id": "N0-OM", "modality": "OM", "stain": "PASM", "path": "N0-OM.tif", "mpp": 1.0}
    im = {"image_id": "N0-IM", "modality": "IM", "marker": "IgG", "path": "N0-IM.tif", "mpp": 0.5, "roi": "whole"}
    tem = {"image_id": "N0-TEM", "modality": "TEM", "path": "N0-TEM.png", "nm_per_px": 40}
    _write_table(folder / "new_images.csv", [{"patient_id": "N0"} | image for image in (om, im, tem)])
    _write_table(folder / "new.csv", [{"patient_id": "N0"}])


def _paint_om(random: np.random.Generator) -> np.ndarray:
    """A pink slide of tubules with round purple glomeruli on a white background."""
    image = np.full((SIDE, SIDE, 3), 245, np.float32)
    cv2.ellipse(image, (SIDE // 2, SIDE // 2), (230, 230), 0, 0, 360, (226, 170, 205), -1)
    for _ in range(120):
        y, x = random.integers(40, SIDE - 40, 2)
        cv2.ellipse(image, (int(x), int(y)), (14, 10), float(random.uniform(0, 180)), 0, 360, (200, 130, 180), -1)
    for y, x, radius in DISCS:
        cv2.circle(image, (x, y), radius + 8, (240, 236, 242), -1)
        cv2.circle(image, (x, y), radius, (140, 70, 140), -1)
    return np.clip(image + random.normal(0, 8, image.shape), 0, 255).astype(np.uint8)


def _paint_im(random: np.random.Generator) -> np.ndarray:
    """One glomerulus with bright deposits, 12 bits in 16."""
    image = np.full((256, 256), 150, np.float32)
    cv2.circle(image, (128, 128), 90, 700, -1)
    for _ in range(60):
        y, x = random.integers(60, 196, 2)
        cv2.circle(image, (int(x), int(y)), 3, 2500, -1)
    return np.clip(cv2.GaussianBlur(image, (0, 0), 1) + random.normal(0, 20, image.shape), 0, 4095).astype(np.uint16)


def paint_tem(random: np.random.Generator, *, spots: bool = False) -> np.ndarray:
    """Grey bands of basement membrane with grain, and dark spots as of deposits."""
    rows, columns = np.mgrid[:256, :320]
    bands = 60 * np.sin((rows + columns * random.uniform(0.3, 0.7)) / 17)
    grain = cv2.GaussianBlur(random.normal(0, 60, rows.shape), (0, 0), 1.5)
    image = 130 + bands + grain
    for y, x in random.integers(40, 216, (6, 2)) if spots else ():
        cv2.circle(image, (int(x), int(y)), 12, 25, -1)
    return np.clip(image, 0, 255).astype(np.uint8)


def _outlines() -> dict[str, Any]:
    angle = np.linspace(0, 2 * np.pi, 33)
    rings = [[[x + r * np.cos(a), y + r * np.sin(a)] for a in angle[:-1]] + [[x + r, y]] for y, x, r in DISCS]
    return _features(rings)


def _features(rings: list[list[list[float]]]) -> dict[str, Any]:
    shapes = [{"type": "Polygon", "coordinates": [ring]} for ring in rings]
    return {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "properties": {}, "geometry": shape} for shape in shapes],
    }


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)
