"""The encoders `texture` and `efficientnet-lite0` on the same images: paired log-loss, and time.

    python benchmarks/encoders.py [results/demo] [--kidney ../shared/data/kidney_om] [--seeds 3]

On a demo run: the crops and micrographs of all cases are encoded with both, and CMUS-Net is trained on both with the
settings and the folds of the run. On two photographs of a kidney with outlined glomeruli: logistic regression on the
mean feature vector tells crops of glomeruli from crops of other tissue; it is trained on one photograph and tested on
the other. Printed are the log-loss with each encoder, without temperature, their difference over the same cases (crops)
with its 95 % interval, and CPU time an image. The networks of all seeds of a person count as one observation.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
import yaml
from scipy.stats import t
from shapely.geometry import box
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "resources/demo")]
from nephroscale.arrays import read_array, read_attributes  # noqa: E402
from nephroscale.cohort.fold_table import read_folds  # noqa: E402
from nephroscale.features import registry  # noqa: E402
from nephroscale.features.features import extract_features, resize  # noqa: E402
from nephroscale.features.settings import EncoderSettings, ExtractionSettings  # noqa: E402
from nephroscale.features.source import FeatureSource  # noqa: E402
from nephroscale.features.weights import PREPARED, prepared_path  # noqa: E402
from nephroscale.glomeruli.outlines import read_outlines  # noqa: E402
from nephroscale.training.settings import TrainSettings  # noqa: E402
from nephroscale_demo.latent import LatentPatient  # noqa: E402
from support.feature_cohort import accuracy, cross_validate, log_loss, own_probabilities  # noqa: E402

ENCODERS = ("texture", "efficientnet-lite0")
CROP = 384  # px of the photographs, 256 µm


@dataclass
class Clock:
    """CPU seconds and images."""

    seconds: float = 0.0
    images: int = 0

    def __str__(self) -> str:
        return f"{1000 * self.seconds / max(self.images, 1):.0f} ms an image"


def encoder(name: str) -> EncoderSettings:
    known = PREPARED.get(name)
    return EncoderSettings(name=name, weights=known and str(prepared_path(name)), digest=known and known.digest)


def encode_cases(results: Path, name: str, clock: Clock) -> list[LatentPatient]:
    """Encode the images that the run's bags were made from."""
    folds, settings = read_folds(results / "folds"), encoder(name)
    found = []
    for case, label in folds.labels.items():
        maps = {}
        for modality in ("OM", "IM", "TEM"):
            made = read_attributes(results / f"features/{case}-{modality}.zarr")
            if modality == "TEM":
                sources = [FeatureSource(case, results / f"tem/{case}.zarr")]
            else:
                sources = [FeatureSource(image, results / f"glomeruli/{image}") for image in made["images"]]
            panel = ExtractionSettings(encoder=settings, panel=tuple(made["panel"]))
            with TemporaryDirectory() as folder:
                start = time.process_time()
                extract_features(case, modality, sources, settings, panel, Path(folder) / "bag")
                clock.seconds += time.process_time() - start
                maps[modality] = np.asarray(read_array(Path(folder) / "bag", "features"))
                clock.images += len(maps[modality])
        found.append(LatentPatient(case, case.partition("-")[0], label, "", {}, maps))
    return found


def difference(one: np.ndarray, other: np.ndarray, people: list[str]) -> str:
    """Mean of `other` minus `one` over the cases, with the t interval over persons."""
    apart = {name: [] for name in people}
    for name, value in zip(people, other - one, strict=True):
        apart[name].append(value)
    values = np.array([np.mean(each) for each in apart.values()])
    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return (
        f"{values.mean():+.3f} ({values.mean() - half:+.3f} to {values.mean() + half:+.3f}), {len(values)} observations"
    )


def compare_on_demo(results: Path, seeds: int) -> None:
    section = yaml.safe_load((ROOT / "config/config.yaml").read_text())["train"]
    settings = TrainSettings(**{key: value for key, value in section.items() if key != "seeds"})
    losses = []
    for name in ENCODERS:
        clock = Clock()
        patients = encode_cases(results, name, clock)
        start = time.process_time()
        networks = cross_validate(
            patients,
            {"family": "cmusnet"},
            settings,
            folds=read_folds(results / "folds"),
            seeds=range(1, seeds + 1),
        )
        spent = (time.process_time() - start) / (seeds * len(read_folds(results / "folds").folds))
        losses.append(-np.log(np.maximum(own_probabilities(networks), 1e-12)).mean(axis=0))
        print(
            f"demo, {name}: log-loss {log_loss(networks):.3f}, balanced accuracy {accuracy(networks):.3f}; "
            f"{clock}, {spent:.1f} CPU s a training",
            flush=True,
        )
    people = [case.partition("-")[0] for case in read_folds(results / "folds").labels]
    print(f"demo, {ENCODERS[1]} minus {ENCODERS[0]}: {difference(losses[0], losses[1], people)}")


def cut(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Cut crops of the outlined glomeruli, and as many without any: [n, S, S, 3] uint8 RGB, and which are glomeruli."""
    picture = cv2.cvtColor(cv2.imread(str(folder / f"vegf_ihc_{name}.jpg")), cv2.COLOR_BGR2RGB)
    outlines = read_outlines(folder / f"vegf_ihc_{name}.imagej_rois.zip").polygons
    height, width = picture.shape[:2]
    corners = [(one.centroid.y - CROP / 2, one.centroid.x - CROP / 2) for one in outlines]
    corners = [(round(min(max(y, 0), height - CROP)), round(min(max(x, 0), width - CROP))) for y, x in corners]
    random, empty = np.random.default_rng(1), []
    for _ in range(20000):
        y, x = int(random.integers(height - CROP)), int(random.integers(width - CROP))
        if len(empty) < len(corners) and not any(box(x, y, x + CROP, y + CROP).intersects(one) for one in outlines):
            empty.append((y, x))
    crops = np.stack([resize(picture[y : y + CROP, x : x + CROP], 224) for y, x in corners + empty])
    return crops, np.arange(len(crops)) < len(corners)


def compare_on_kidney(folder: Path) -> None:
    fields = {name: cut(folder, name) for name in ("C1", "C2")}
    losses = []
    for name in ENCODERS:
        clock = Clock()
        network, start = registry.create(encoder(name), "cpu"), time.process_time()
        seen = {field: (network.encode(crops).mean(axis=(1, 2)), labels) for field, (crops, labels) in fields.items()}
        clock.seconds, clock.images = time.process_time() - start, sum(len(crops) for crops, _ in fields.values())
        own, hits = [], []
        for source, target in (("C1", "C2"), ("C2", "C1")):
            model = LogisticRegressionCV(Cs=np.logspace(-4, 1, 6), cv=5, scoring="neg_log_loss", max_iter=2000)
            model = make_pipeline(StandardScaler(), model).fit(*seen[source])
            x, labels = seen[target]
            own.append(model.predict_proba(x)[np.arange(len(labels)), labels.astype(int)])
            hits.append(model.predict(x) == labels)
        losses.append(-np.log(np.maximum(np.concatenate(own), 1e-12)))
        print(
            f"kidney, {name}: log-loss {losses[-1].mean():.3f}, accuracy {np.concatenate(hits).mean():.3f} "
            f"of {len(losses[-1])} crops; {clock}",
            flush=True,
        )
    crops = [str(number) for number in range(len(losses[0]))]
    print(f"kidney, {ENCODERS[1]} minus {ENCODERS[0]}: {difference(losses[0], losses[1], crops)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="?", default=ROOT / "results/demo")
    parser.add_argument("--kidney", type=Path, default=ROOT.parent / "shared/data/kidney_om")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if options.kidney.is_dir():
        compare_on_kidney(options.kidney)
    else:
        print(f"kidney: skipped, {options.kidney} is absent")
    if (options.results / "folds").is_dir():
        compare_on_demo(options.results, options.seeds)
    else:
        print(f"demo: skipped, there is no run in {options.results} (make demo)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
