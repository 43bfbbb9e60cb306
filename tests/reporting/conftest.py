"""A mock study with everything that a report shows."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from nephroscale.arrays import write_arrays
from nephroscale.evaluation.tables import InstanceWeight, Predictions, write_predictions, write_rows
from nephroscale.reporting.report_inputs import FoldRun, ModelRuns, ReportInputs, SlidePicture, UnitOutcome

CLASSES = ["IgAN", "MN", "LN"]
MODELS = {
    "cmusnet": (2.6, {"modalities": ["TEM", "OM", "IM"], "attention": True}),
    "om-only": (1.0, {"modalities": ["OM"], "attention": True}),
    "im-only": (1.5, {"modalities": ["IM"], "attention": True}),
    "tem-only": (1.3, {"modalities": ["TEM"], "attention": True}),
    "no-attention": (2.2, {"modalities": ["TEM", "OM", "IM"], "attention": False}),
}
PATIENTS = [f"P{i:03d}" for i in range(1, 28)]
ALIKE = {"names": "A and B", "likeness": "similar content", "same_patient": False, "reason": "<one> control slide"}
LABELS = {patient: i % 3 for i, patient in enumerate(PATIENTS)}


def _noise(rng, shape, scale):
    small = rng.normal(size=(max(2, shape[0] // scale), max(2, shape[1] // scale))).astype(np.float32)
    return cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC)


def _core(rng, dark):
    """Draw a biopsy core on a bright or dark background."""
    height, width = 260, 900
    field = _noise(rng, (height, width), 90)
    y = np.abs(np.arange(height) - 130 - 30 * np.sin(np.arange(width) / 140)[None].T).T
    tissue = y + 25 * field < 70
    grain = _noise(rng, (height, width), 5) * 14
    colour = np.array([20, 70, 30] if dark else [196, 140, 158], np.float32)
    ground = np.array([4, 8, 6] if dark else [244, 242, 243], np.float32)
    image = np.where(tissue[..., None], colour + grain[..., None], ground + rng.normal(0, 1, (height, width, 1)))
    image = np.ascontiguousarray(np.clip(image, 0, 255).astype(np.uint8))
    plain = image.copy()
    for x in range(90, 860, 130):
        centre = (x, int(130 + 30 * np.sin(x / 140)))
        cv2.circle(image, centre, 22, (120, 220, 140) if dark else (150, 84, 128), -1, cv2.LINE_AA)
        plain = image.copy()
        cv2.circle(image, centre, 24, (255, 206, 60), 2, cv2.LINE_AA)
    return plain, image


def _micrograph(rng):
    image = 140 + 26 * _noise(rng, (224, 224), 28) + 14 * _noise(rng, (224, 224), 6)
    image = np.clip(image, 0, 255).astype(np.uint8)
    for _ in range(5):
        cv2.circle(image, tuple(int(v) for v in rng.integers(10, 214, 2)), int(rng.integers(4, 9)), 40, -1, cv2.LINE_AA)
    x = np.arange(224)
    curve = np.stack([x, 110 + 30 * np.sin(x / 40 + rng.uniform(0, 6))], 1).astype(np.int32)
    cv2.polylines(image, [curve], False, 95, 9, cv2.LINE_AA)
    return cv2.GaussianBlur(image, (0, 0), 0.8)


def _bag(path, patient, rng):
    n = 4 + int(rng.integers(0, 4))
    valid = np.tile(np.array([[0, 0, 224, 224]], np.int16), (n, 1))
    valid[0] = (28, 0, 168, 224)
    arrays = {
        "images": np.stack([_micrograph(rng) for _ in range(n)]),
        "image": np.arange(n, dtype=np.int16),
        "box": np.tile(np.array([[0, 0, 2000, 2000]], np.int32), (n, 1)),
        "nm_per_px": np.full(n, 45.0, np.float32),
        "valid": valid,
        "small": np.zeros(n, bool),
    }
    names = [f"{patient}-T{i + 1}" for i in range(n)]
    write_arrays(
        path, arrays, {"images": names, "dropped": [], "quality": {name: {"sharpness": 0.5} for name in names}}
    )
    return names


def _evaluate(folder, patients, chances, bags, rng, *, tem):
    folder.mkdir(parents=True)
    labels = np.array([LABELS[p] for p in patients])
    write_predictions(folder / "predictions.csv", Predictions(patients, labels, chances), CLASSES)
    rows = []
    for patient in patients if tem else []:
        names = bags[patient][: len(bags[patient]) - (patient == "P001")]
        distance = np.sort(rng.uniform(2, 9, len(names)))
        distance[0] = 0
        kept = distance < 7.5
        weight = np.where(kept, np.clip(1 - distance / 9, 0, 1), 0)
        weight[0] = 1
        for i, j in enumerate(rng.permutation(len(names))):
            row = (patient, names[i], i, bool(kept[j]), bool(j == 0), float(weight[j]), float(distance[j]))
            rows.append(InstanceWeight(*row))
    write_rows(folder / "instances.csv", InstanceWeight, rows)
    return folder


def _train(folder, rng, epochs=40):
    folder.mkdir(parents=True)
    t = np.arange(epochs)
    train = 2.1 * np.exp(-t / 14) + 0.15 + rng.normal(0, 0.02, epochs)
    validation = 1.7 * np.exp(-t / 12) + 0.55 + 0.004 * t + rng.normal(0, 0.05, epochs)
    curve = [
        {"epoch": int(e + 1), "train_loss": float(a), "validation_loss": float(b)}
        for e, a, b in zip(t, train, validation, strict=True)
    ]
    (folder / "curve.json").write_text(json.dumps(curve))
    (folder / "model.json").write_text(json.dumps({"best_epoch": int(validation.argmin() + 1)}))
    return folder


def make_inputs(root, seeds=(1,)):
    """Write the objects that a report reads, and list them."""
    rng = np.random.default_rng(0)
    bags = {patient: root / "tem" / patient for patient in PATIENTS}
    names = {patient: _bag(path, patient, rng) for patient, path in bags.items()}
    tests = [PATIENTS[k::5] for k in range(5)]
    folds = {
        "classes": CLASSES,
        "labels": LABELS,
        "excluded": {"P031": "no TEM: patient has no usable TEM image"},
        "scheme": "stratified",
        "folds": [
            {"name": str(k), "train": sorted(set(PATIENTS) - set(test)), "validation": [], "test": test}
            for k, test in enumerate(tests)
        ],
    }
    (root / "folds").mkdir()
    (root / "folds" / "folds.json").write_text(json.dumps(folds))
    models = {}
    for name, (sharp, settings) in MODELS.items():
        runs = []
        for k, test in enumerate(tests):
            for seed in seeds:
                logits = rng.normal(size=(len(test), 3)) + sharp * np.eye(3)[[LABELS[p] for p in test]]
                chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
                here = root / name / f"fold{k}-seed{seed}"
                tem = "TEM" in settings["modalities"]
                evaluate = _evaluate(here / "evaluate", test, chances, names, rng, tem=tem)
                runs.append(FoldRun(str(k), seed, evaluate, _train(here / "train", rng)))
        models[name] = ModelRuns(tuple(settings["modalities"]), settings["attention"], tuple(runs))

    slides = []
    for i, patient in enumerate(PATIENTS[:5]):
        for modality in ("OM", "IM"):
            plain, outlined = _core(rng, modality == "IM")
            image_id = f"{patient}-{modality}"
            paths = [root / f"{image_id}-{kind}.png" for kind in ("thumbnail", "overlay")]
            for path, picture in zip(paths, (plain, outlined), strict=True):
                cv2.imwrite(str(path), picture[:, :, ::-1])
            searched = not (i == 2 and modality == "IM")
            slides.append(
                SlidePicture(
                    image_id=image_id,
                    patient_id=patient,
                    thumbnail=paths[0],
                    overlay=paths[1] if searched else None,
                    glomeruli=6 if searched else None,
                    fullest_section=6 if searched else None,
                    mpp=8.0 if i != 3 else None,
                )
            )

    def unit(name, reason=None, **figures):
        return UnitOutcome(name, "rejected" if reason else "accepted", reason, figures)

    everyone = [*PATIENTS, "P031", "P032"]
    modalities = ("TEM", "OM", "IM")
    stages = {
        "register": [unit(p) for p in everyone],
        "tiles": [
            *(unit(f"{p}-{m}") for p in PATIENTS for m in ("OM", "IM")),
            unit("P032-OM", "the slide cannot be opened: not a TIFF file"),
            unit("P032-IM"),
        ],
        "glomeruli": [
            *(unit(f"{p}-{m}", glomeruli=6) for p in PATIENTS for m in ("OM", "IM")),
            unit("P032-OM", "tiles of P032-OM: the slide cannot be opened", because="tiles/P032-OM"),
        ],
        "tem": [
            *(unit(p) for p in PATIENTS[1:]),
            unit("P001", dropped=[{"id": "P001-T9", "reason": "image is blank"}]),
            unit("P031", "patient has no usable TEM image"),
        ],
        "features": [
            *(unit(f"{p}-{m}") for p in PATIENTS for m in modalities),
            unit("P031-TEM", "tem of P031: patient has no usable TEM image", because="tem/P031"),
            unit("P032-OM", "tiles of P032-OM: the slide cannot be opened", because="tiles/P032-OM"),
        ],
        "folds": [unit("cohort", alike_images=[ALIKE])],
        "train": [unit(f"{m}/fold{k}-seed{s}") for m in MODELS for k in range(5) for s in seeds],
        "evaluate": [unit(f"{m}/fold{k}-seed{s}") for m in MODELS for k in range(5) for s in seeds],
    }
    stages["features"] = [replace(each, bag=tuple(each.name.rsplit("-", 1))) for each in stages["features"]]
    return ReportInputs(
        classes=CLASSES,
        folds=root / "folds",
        models=models,
        stages=stages,
        slides=slides,
        tem=bags,
        test_set_uses={"0": 5, "1": 5},
    )


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="session")
def two_seeds(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("seeds"), seeds=(1, 2))
