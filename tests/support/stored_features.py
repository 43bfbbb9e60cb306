"""A small cohort of stored features, for the tests of training."""

from pathlib import Path
from typing import Any

import numpy as np

from nephroscale.arrays import write_arrays
from nephroscale.cohort.fold_table import FoldSides, FoldTable
from nephroscale.training.fold_data import FoldData

CLASSES = ["IgAN", "MN", "LN"]


def write_bag(path: Path, array: np.ndarray, modality: str = "TEM", **changes: Any) -> Path:
    """Write a group as the stage `features` does."""
    n = len(array)
    arrays = {
        "features": array,
        "image": np.arange(n, dtype=np.int16),
        "slot": np.zeros(n, np.int8),
        "score": np.ones(n, np.float32),
        **{key: value for key, value in changes.items() if key in ("image", "slot")},
    }
    attributes = {
        "patient": path.parent.name,
        "modality": modality,
        "encoder": "texture",
        "images": [f"{path.parent.name}-{modality}-{i}" for i in range(n)],
        "panel": changes.get("panel", ["IgG"]),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_arrays(path, arrays, attributes)
    return path


class Cohort:
    """Twelve patients, six to train on, three each to validate and test on; features of their class plus noise."""

    def __init__(self, folder: Path, *, pixels: bool = False) -> None:
        generator = np.random.default_rng(7)
        self.ids = [f"P{i:03d}" for i in range(12)]
        self.labels = {patient: i % 3 for i, patient in enumerate(self.ids)}
        fold = FoldSides("0", tuple(self.ids[:6]), tuple(self.ids[6:9]), tuple(self.ids[9:]))
        self.folds = FoldTable(tuple(CLASSES), self.labels, (fold,))
        prototypes = generator.normal(size=(3, 3, 2, 2, 8))
        self.features: dict[str, dict[str, Path]] = {}
        for patient, label in self.labels.items():
            self.features[patient] = {}
            for m, modality in enumerate(("TEM", "OM", "IM")):
                n = int(generator.integers(2, 6)) if modality == "TEM" else 1
                if pixels:
                    array = generator.integers(0, 80, (n, 16, 16, 3)).astype(np.uint8)
                    array[:, :, : 4 * (label + 1)] += 100
                else:
                    array = (prototypes[m, label] + generator.normal(size=(n, 2, 2, 8))).astype(np.float32)
                self.features[patient][modality] = write_bag(folder / patient / f"{modality}.zarr", array, modality)

    def data(self, **changes: Any) -> FoldData:
        """The only fold with its features."""
        return FoldData(**{"folds": self.folds, "name": "0", "features": self.features, **changes})
