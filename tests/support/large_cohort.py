"""The report of a synthetic cohort of 2,000 cases, with what it takes: run as a program of its own, to measure it.

python tests/support/large_cohort.py FOLDER [CASES]
"""

import json
import resource
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from nephroscale.arrays import write_arrays
from nephroscale.evaluation.fitted_temperature import FittedTemperature, write_temperature
from nephroscale.evaluation.tables import InstanceWeight, Predictions, write_predictions, write_removed, write_rows
from nephroscale.reporting.report import write_report
from nephroscale.reporting.report_inputs import (
    FoldRun,
    ListedCase,
    ListedImage,
    ModelRuns,
    ReportInputs,
    SlidePicture,
    UnitOutcome,
)
from nephroscale.reporting.settings import ActionSettings, ReportSettings
from nephroscale.slides.facts import ImageFacts, Scale, write_facts

CLASSES = ("IgAN", "MN", "LN")
MODELS = {"cmusnet": ("TEM", "OM", "IM"), "om-only": ("OM",), "no-attention": ("TEM", "OM", "IM")}
CHANNELS = {"OM": ("PAS",), "IM": ("IgA", "IgG", "C3"), "TEM": ("TEM",)}
FOLDS, SEEDS, GLOMERULI, MICROGRAPHS, SITES = 5, (1, 2, 3), 12, 6, ("north", "south", "west")
SLIDES = 400
"""Cases with pictures; these are the same few files under many ids."""


def make_inputs(root: Path, cases: int) -> ReportInputs:
    """Write the objects that a report reads, and list them."""
    random = np.random.default_rng(1)
    names = [f"K{number:04d}" for number in range(cases)]
    labels = {case: int(c) for case, c in zip(names, random.permutation(np.arange(cases) % 3), strict=True)}
    tests = [names[k::FOLDS] for k in range(FOLDS)]
    folds = {
        "classes": CLASSES,
        "labels": labels,
        "excluded": {},
        "scheme": "stratified",
        "folds": [
            {"name": str(k), "train": sorted(set(names) - set(test)), "validation": [], "test": test}
            for k, test in enumerate(tests)
        ],
    }
    (root / "folds").mkdir(parents=True)
    (root / "folds" / "folds.json").write_text(json.dumps(folds))
    listed = {
        case: ListedCase(
            "diagnosis",
            CLASSES[labels[case]],
            site=SITES[int(random.integers(3))],
            scanner="AB"[int(random.integers(2))],
            columns={"sex": "fm"[int(random.integers(2))], "age": str(random.integers(18, 90))},
            dates={"biopsy_date": f"20{random.integers(10, 25)}-0{random.integers(1, 10)}-15"},
        )
        for case in names
    }
    images, registered, features = _register(root, names, random)
    pictures = _draw_pictures(root, random)
    slides = [
        SlidePicture(f"{case}-PAS", case, *pictures, glomeruli=int(random.integers(3, 30)), mpp=8.0)
        for case in names[:SLIDES]
    ]
    bag = _write_bag(root / "tem", random)
    return ReportInputs(
        classes=CLASSES,
        folds=root / "folds",
        models={name: _evaluate(root / name, name, tests, labels, random) for name in MODELS},
        stages=_outcomes(names),
        slides=slides,
        tem=dict.fromkeys(names[:SLIDES], bag),
        cases=listed,
        images=images,
        registered=registered,
        features=features,
    )


def _register(root: Path, names: list[str], random: np.random.Generator):
    images, registered, features = {}, {}, {}
    for case in names:
        facts = {}
        for modality, channels in CHANNELS.items():
            for channel in channels:
                image = f"{case}-{channel}"
                images[image] = ListedImage(case, modality, channel, exposure_ms=float(random.integers(50, 200)))
                size = int(random.integers(1000, 5000))
                facts[image] = ImageFacts(
                    vendor="tiff", dtype="uint8", width=size, height=size, scale=Scale(0.5, "um", "file")
                )
            if modality != "IM":
                count = GLOMERULI if modality == "OM" else MICROGRAPHS
                bag = random.normal(size=(1, 1, 1, 32)) + 0.5 * random.normal(size=(count, 4, 4, 32))
                features[case, modality] = root / "features" / f"{case}-{modality}"
                write_arrays(features[case, modality], {"features": bag.astype(np.float32)})
        registered[case] = root / "facts" / f"{case}.json"
        registered[case].parent.mkdir(exist_ok=True)
        write_facts(registered[case], facts)
    return images, registered, features


def _draw_pictures(root: Path, random: np.random.Generator) -> list[Path]:
    paths = [root / "thumbnail.png", root / "overlay.png"]
    for path in paths:
        cv2.imwrite(str(path), cv2.blur(random.integers(0, 255, (300, 900, 3), np.uint8), (15, 15)))
    return paths


def _write_bag(path: Path, random: np.random.Generator) -> Path:
    arrays = {
        "images": cv2.blur(random.integers(0, 255, (224, 224, MICROGRAPHS), np.uint8), (9, 9)).transpose(2, 0, 1),
        "image": np.arange(MICROGRAPHS, dtype=np.int16),
        "nm_per_px": np.full(MICROGRAPHS, 4.0, np.float32),
        "valid": np.tile(np.array([[0, 0, 224, 224]], np.int16), (MICROGRAPHS, 1)),
        "small": np.zeros(MICROGRAPHS, bool),
    }
    names = [f"T{i}" for i in range(MICROGRAPHS)]
    write_arrays(path, arrays, {"images": names, "dropped": [], "quality": {f"T{i}": {} for i in range(MICROGRAPHS)}})
    return path


def _evaluate(
    root: Path, name: str, tests: list[list[str]], labels: dict[str, int], random: np.random.Generator
) -> ModelRuns:
    runs = []
    for k, test in enumerate(tests):
        truth = np.array([labels[case] for case in test])
        common = random.normal(size=(len(test), 3))
        for seed in SEEDS:
            powers = np.exp(common + 0.5 * random.normal(size=common.shape) + (2.5 - len(name) / 10) * np.eye(3)[truth])
            chances = powers / powers.sum(axis=1, keepdims=True)
            here = root / f"fold{k}-seed{seed}"
            (here / "evaluate").mkdir(parents=True)
            (here / "train").mkdir()
            write_predictions(here / "evaluate" / "predictions.csv", Predictions(test, truth, chances), CLASSES)
            weights = [
                InstanceWeight(case, f"T{i}", i, i < 4, i == 0, 1 - i / 8, i / 2)
                for case in test
                for i in range(MICROGRAPHS)
            ]
            write_rows(here / "evaluate" / "instances.csv", InstanceWeight, weights)
            left_out = ((case, m, p) for case, p in zip(test, chances, strict=True) for m in MODELS["cmusnet"])
            write_removed(here / "evaluate" / "removed.csv", left_out, CLASSES)
            curve = [
                {"epoch": e, "train_loss": 1 / (1 + e), "validation_loss": 0.5 + 1 / (1 + e)} for e in range(1, 41)
            ]
            (here / "train" / "curve.json").write_text(json.dumps(curve))
            (here / "train" / "model.json").write_text(json.dumps({"best_epoch": 30}))
            write_temperature(here / "temperature", FittedTemperature(1.1, 300, 0.6, 0.5))
            runs.append(FoldRun(str(k), seed, here / "evaluate", here / "train", here / "temperature"))
    return ModelRuns(MODELS[name], runs=tuple(runs))


def _outcomes(names: list[str]) -> dict[str, list[UnitOutcome]]:
    def unit(name: str, number: int, **figures: object) -> UnitOutcome:
        rejected = number % 50 == 0
        return UnitOutcome(name, "rejected" if rejected else "accepted", "blank" if rejected else None, figures)

    images = [f"{case}-{channel}" for case in names for channel in ("PAS", "IgA", "IgG", "C3")]
    return {
        "register": [UnitOutcome(case, "accepted") for case in names],
        "tiles": [unit(name, k) for k, name in enumerate(images)],
        "glomeruli": [unit(name, k, glomeruli=9) for k, name in enumerate(images)],
        "tem": [UnitOutcome(case, "accepted") for case in names],
        "features": [
            UnitOutcome(f"{case}-{m}", "accepted", figures={"instances": 6}, bag=(case, m))
            for case in names
            for m in CHANNELS
        ],
        "folds": [UnitOutcome("cohort", "accepted")],
    }


def main() -> None:
    """Write the inputs and the report, and print what the report took."""
    root, cases = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    inputs = make_inputs(root / "inputs", cases)
    settings = ReportSettings(
        title="A large cohort",
        action=ActionSettings("steroids", ("LN",)),
        prevalences={"IgAN": 0.5, "MN": 0.3, "LN": 0.2},
    )
    start = time.process_time()
    write_report(inputs, settings, root / "report", seed=1)
    print(
        json.dumps(
            {
                "cpu_seconds": time.process_time() - start,
                "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
                "page_mb": (root / "report" / "index.html").stat().st_size / 1e6,
                "case_pages": len(list((root / "report" / "cases").glob("*.html"))),
            }
        )
    )


if __name__ == "__main__":
    main()
