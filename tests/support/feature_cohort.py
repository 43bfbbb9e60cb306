"""Training and prediction on the cohort of features with a known ceiling (`nephroscale_demo.latent`)."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from nephroscale.cohort.fold_table import FoldTable, Side
from nephroscale.cohort.folds import make_folds
from nephroscale.cohort.patient import PatientRow
from nephroscale.cohort.settings import FoldsSettings
from nephroscale.evaluation.networks import Networks
from nephroscale.models.network import Network
from nephroscale.models.ordinal import class_log_probabilities
from nephroscale.models.weights import load_model
from nephroscale.training.checkpoint import Checkpoint
from nephroscale.training.data import Bag, ModalityBag, collate
from nephroscale.training.fit import fit
from nephroscale.training.fold_data import FoldData
from nephroscale.training.settings import TrainSettings
from nephroscale_demo.latent import CLASSES, LatentPatient, posterior
from support.networks import ALL, model_settings

QUICK = TrainSettings(
    epochs=30, patience=30, batch_size=16, learning_rate=2e-3, final_learning_rate=2e-5, standardise=False
)
"""Large batches, for tests; the defaults of `train` are tested by themselves. All channels have equal scales."""


@dataclass(frozen=True)
class InMemory(FoldData):
    """A fold whose bags are not read from files."""

    maps: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)

    def bags(self, side: Side, modalities: Collection[str], *, max_tem_instances: int = 10, seed: int = 0) -> list[Bag]:
        """Give the bags of one side."""
        assert max_tem_instances >= max(len(maps["TEM"]) for maps in self.maps.values())
        return [self._bag(name, modalities) for name in sorted(self.fold.side(side))]

    def _bag(self, name: str, modalities: Collection[str]) -> Bag:
        def one(modality: str) -> ModalityBag:
            maps = self.maps[name][modality]
            images = tuple(f"{name}-{modality}{i}" for i in range(len(maps)))
            return ModalityBag(maps, np.arange(len(maps)), images, len(maps))

        return Bag(name, self.folds.labels[name], {modality: one(modality) for modality in modalities})


def divide(patients: Sequence[LatentPatient], n_folds: int = 2, *, grouped: bool = True) -> FoldTable:
    """Divide a cohort as the stage `folds` does; `grouped`: copies of a patient are known as such."""
    copied = {one.person for one in patients if one.person != one.name}
    rows = [
        PatientRow(
            one.name, CLASSES[one.label], site=one.site, group=one.person if grouped and one.person in copied else None
        )
        for one in patients
    ]
    return make_folds(rows, CLASSES, FoldsSettings(n_folds=n_folds), 1, min_per_class=2, permute_labels=None)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, and leave torch's settings as they were."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode("default")


def train(
    patients: Sequence[LatentPatient],
    model: Mapping[str, Any],
    settings: TrainSettings,
    folds: FoldTable,
    fold: str,
    *,
    seed: int = 1,
) -> tuple[Network, list[Bag], list[dict[str, Any]]]:
    """Train a network on a fold; give it, the bags of the tested patients and the curve of the training."""
    built = model_settings(**model)
    data = InMemory(folds, fold, {}, maps={one.name: one.maps for one in patients})
    with one_thread(), TemporaryDirectory() as scratch:
        out = Path(scratch) / "out"
        fit(data, built, settings, Checkpoint(Path(scratch), "one"), seed=seed, out=out)
        return load_model(out)[0], data.bags("test", built.modalities), json.loads((out / "curve.json").read_text())


def cross_validate(
    patients: Sequence[LatentPatient],
    model: Mapping[str, Any],
    settings: TrainSettings = QUICK,
    *,
    folds: FoldTable | None = None,
    seeds: Sequence[int] = (1,),
) -> Networks:
    """Train a model on each fold with each seed, and predict the tested patients."""
    table = folds or divide(patients)
    names = list(table.labels)
    place = {name: number for number, name in enumerate(names)}
    chances = np.zeros((len(seeds), len(names), len(CLASSES)))
    for number, seed in enumerate(seeds):
        for fold in table.folds:
            network, tested, _ = train(patients, model, settings, table, fold.name, seed=seed)
            with torch.inference_mode():
                found = class_log_probabilities(network(collate(tested))).exp().numpy()
            chances[number, [place[bag.patient] for bag in tested]] = found
    tests = {name: fold.name for fold in table.folds for name in fold.test}
    labels = np.array(list(table.labels.values()))
    people = {one.name: one.person for one in patients}
    return Networks.of(labels, chances, [people[name] for name in names], [tests[name] for name in names])


def best_possible(
    patients: Sequence[LatentPatient], modalities: Collection[str] = ALL, signal: float = 1.0
) -> Networks:
    """Give the posterior of each patient, the classifier that no other is better than; in the order of the folds."""
    ordered = sorted(patients, key=lambda one: one.name)
    points = {m: np.stack([one.points[m] for one in ordered]) for m in modalities}
    return Networks.of(
        np.array([one.label for one in ordered]), posterior(points, modalities, signal), [one.person for one in ordered]
    )


def accuracy(networks: Networks) -> float:
    """Mean balanced accuracy of the networks."""
    hits = networks.predicted == networks.labels
    return float(np.mean([hits[:, networks.labels == c].mean() for c in np.unique(networks.labels)]))


def own_probabilities(networks: Networks) -> np.ndarray:
    """Probability [S, n] of the true class."""
    return networks.probabilities[:, np.arange(len(networks.labels)), networks.labels]


def log_loss(networks: Networks) -> float:
    """Mean log-loss of the networks."""
    return float(-np.log(np.maximum(own_probabilities(networks), 1e-12)).mean())
