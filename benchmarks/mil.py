"""Multiple-instance networks on data that is not ours: the MIL benchmarks with their published splits.

    python benchmarks/mil.py --dataset musk1 ../shared/data/mil [--runs 5] [--networks abmil,transmil]

Reads `MIDatasets_<Name>.jld` of the folder: bags, labels, and 5 x 10 published divisions. Trains the networks of
nephroscale.models.mil, an instance being a 1 x 1 map, by the protocol of Ilse et al. (2018): layers of 256, 128 and 64
with dropout 0.5, attention of 64, one bag a step, plain gradient descent (rate 5e-4, weight decay 5e-3, momentum 0.9),
100 epochs, and the weights of the last of them; nothing is chosen on a test fold, and features are standardised by the
training side alone. Prints each network's mean accuracy over the test folds and their standard deviation beside the
published figure, and last where it falls short of it by more than 0.03.

Folds are trained at once, their weights stacked: they share nothing but the time that it takes to call an operation.
So that all take equally many steps, a fold that trains on fewer bags than another sees some of its bags twice in an
epoch (MUSK1 has folds of 82 and 83). SC-MIL compares bags with each other and so takes 16 of them a step.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor, nn

from nephroscale.errors import NephroscaleError
from nephroscale.models.batch import Batch
from nephroscale.models.network import Network
from nephroscale.models.registry import build

DATASETS = ("musk1", "musk2", "elephant", "fox", "tiger")

NETWORKS: dict[str, dict[str, Any]] = {
    "mean-pooling": {"family": "mean-pooling"},
    "max-pooling": {"family": "max-pooling"},
    "abmil": {"family": "abmil", "gated": False},
    "abmil-gated": {"family": "abmil", "gated": True},
    "clam-sb": {"family": "clam-sb"},
    "transmil": {"family": "transmil"},
    "dsmil": {"family": "dsmil"},
    "sc-mil": {"family": "sc-mil"},
    "mhim-mil": {"family": "mhim-mil"},
}
SHARED = {"modalities": ["TEM"], "embedding": [256, 128, 64], "embedding_dropout": 0.5, "attention_width": 64}
BAGS_A_STEP = {"sc-mil": 16}

PUBLISHED = {  # Ilse, Tomczak and Welling, ICML 2018, table 1
    "abmil": {"musk1": 0.892, "elephant": 0.868},
    "abmil-gated": {"musk1": 0.900, "elephant": 0.857},
}
TOLERANCE = 0.03


# -- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dataset:
    """A MIL benchmark.

    Attributes
    ----------
    bags
        [n, C] float32 each.
    labels
        [bags] int64: 0 or 1.
    folds
        Run by run and fold by fold [bags] bool: True on the training side.
    """

    bags: list[np.ndarray]
    labels: np.ndarray
    folds: list[list[np.ndarray]]


def find_dataset(folder: Path, name: str) -> Path:
    """Find the file of a data set, whatever the case of its name."""
    wanted = f"midatasets_{name}.jld"
    there = sorted(folder.glob("*.jld")) if folder.is_dir() else []
    for path in there:
        if path.name.casefold() == wanted:
            return path
    raise NephroscaleError(
        f"There is no file of the data set {name}.",
        where=f"{folder} ({', '.join(path.name for path in there) or 'no .jld file'})",
        todo=f"Put MIDatasets_{name.capitalize()}.jld there.",
    )


def read_dataset(path: Path) -> Dataset:
    """Read a data set as Julia's JLD writes it: HDF5 with `X`, `y` and `folds`.

    `X` refers to one Float32 matrix a bag. Julia stores by columns, so that here a row is a feature and a column an
    instance. `y` and each fold are BitArrays: whole 64-bit words, the first bit in the lowest place.
    """
    try:
        with h5py.File(path) as file:
            bags = [np.asarray(matrix, np.float32).T for matrix in _follow(file, "X")]
            labels = _bits(file, file["y"][()])
            folds = [[_bits(file, side) for side in _follow(file, run)] for run in _follow(file, "folds")]
        _check(bags, labels, folds)
    except (OSError, KeyError, ValueError, TypeError, IndexError, AttributeError, RuntimeError) as error:
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NephroscaleError(
            f"This is not a MIL data set with its folds: {detail}",
            where=str(path),
            todo="Get the file anew; it has to hold X (bags), y (labels) and folds as Julia's JLD writes them.",
        ) from error
    return Dataset(bags, labels.astype(np.int64), folds)


def _follow(file: h5py.File, references: Any) -> list[Any]:
    """What an array of references refers to; the array is given itself or by its name."""
    array = file[references][()] if isinstance(references, str) else references
    if not isinstance(array, np.ndarray) or array.dtype != object:
        raise ValueError(f"{references if isinstance(references, str) else 'folds'} is no array of references.")
    return [file[reference][()] for reference in array]


def _bits(file: h5py.File, stored: Any) -> np.ndarray:
    """A BitArray, or a plain array of 0 and 1, as [n] bool."""
    if stored.dtype.names is None:
        values = np.asarray(stored)
        if values.ndim != 1 or not np.isin(values, (0, 1)).all():
            raise ValueError("labels and folds have to be 0 or 1.")
        return values.astype(bool)
    words, length = np.asarray(file[stored["chunks_"]][()], "<u8"), int(stored["len_"])
    if len(words) != -(-length // 64):
        raise ValueError(f"{len(words)} words cannot hold {length} bits.")
    return np.unpackbits(words.view(np.uint8), bitorder="little")[:length].astype(bool)


def _check(bags: list[np.ndarray], labels: np.ndarray, folds: list[list[np.ndarray]]) -> None:
    if not bags or len(labels) != len(bags):
        raise ValueError(f"there are {len(bags)} bags and {len(labels)} labels.")
    if labels.all() or not labels.any():
        raise ValueError("all bags have one label.")
    for place, bag in enumerate(bags, start=1):
        if bag.ndim != 2 or not bag.size or bag.shape[1] != bags[0].shape[1]:
            raise ValueError(f"bag {place} is {bag.shape}, bag 1 {bags[0].shape} (instances, features).")
        if not np.isfinite(bag).all():
            raise ValueError(f"bag {place} has a value that is not finite.")
    if not folds or not all(folds):
        raise ValueError("there are no folds.")
    for run, sides in enumerate(folds, start=1):
        if any(len(side) != len(bags) for side in sides):
            raise ValueError(f"a fold of run {run} is not about {len(bags)} bags.")
        if (np.sum([~side for side in sides], axis=0) != 1).any():
            raise ValueError(f"the folds of run {run} do not test every bag once.")


# -- training ---------------------------------------------------------------------------------------------------------


class Step(nn.Module):
    """What one call with stacked weights can do: give a batch's loss or logits, or follow an optimizer's step."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Batch | None = None) -> Tensor | None:
        if batch is None:
            return self.network.after_step()
        output = self.network(batch)
        return self.network.loss(output, batch.labels) if self.training else output.logits["fusion"]


class Bags:
    """Padded bags, standardised for each of several folds."""

    def __init__(self, dataset: Dataset, sides: list[np.ndarray]) -> None:
        self.lengths = torch.tensor([len(bag) for bag in dataset.bags])
        self.mask = torch.arange(int(self.lengths.max())) < self.lengths[:, None]
        self.values = torch.zeros(*self.mask.shape, dataset.bags[0].shape[1])
        for row, bag in zip(self.values, dataset.bags, strict=True):
            row[: len(bag)] = torch.from_numpy(bag)
        self.labels = torch.from_numpy(dataset.labels)
        means, spreads = [], []
        for side in sides:
            seen = np.concatenate([bag for bag, learnt in zip(dataset.bags, side, strict=True) if learnt])
            spread = seen.std(0)
            means.append(seen.mean(0))
            spreads.append(np.where(spread > 0, spread, 1))  # a feature that is always the same becomes 0
        self.mean = torch.from_numpy(np.stack(means))[:, None, None]
        self.spread = torch.from_numpy(np.stack(spreads))[:, None, None]

    def take(self, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values [F, b, N, C], masks [F, b, N] and labels [F, b] of some bags [F, b] for each fold."""
        longest = int(self.lengths[chosen].max())
        mask = self.mask[chosen][:, :, :longest]
        values = (self.values[chosen][:, :, :longest] - self.mean) / self.spread
        return values * mask[..., None], mask, self.labels[chosen]


def train_folds(
    settings: dict[str, Any], dataset: Dataset, sides: list[np.ndarray], seeds: list[int], options: argparse.Namespace
) -> list[Tensor]:
    """Train one network for each fold, all at once, and let each predict its fold's test side.

    Parameters
    ----------
    settings
        An entry of `models`.
    dataset
        The data.
    sides
        For each fold [bags] bool, True where it trains.
    seeds
        For each fold, of its first weights and its orders of bags.
    options
        `epochs`, `learning_rate`, `weight_decay`, `momentum`.

    Returns
    -------
    list of Tensor
        For each fold logits [test bags, 2].
    """
    bags, shape = Bags(dataset, sides), (1, 1, dataset.bags[0].shape[1])
    steps = []
    for seed in seeds:
        torch.manual_seed(seed)
        steps.append(Step(build(settings, {"TEM": shape}, 2)))
    template = steps[0]
    learnt, buffers = torch.func.stack_module_state(steps)
    state = {**learnt, **buffers}
    optimizer = torch.optim.SGD(
        [tensor for tensor in learnt.values() if tensor.requires_grad],
        lr=options.learning_rate,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
    )

    def call(weights: dict[str, Tensor], values: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
        batch = Batch({"TEM": values[:, :, None, None]}, {"TEM": mask}, {}, labels, ())
        return torch.func.functional_call(template, weights, (batch,))

    stacked = torch.vmap(call, randomness="different")
    train = [torch.from_numpy(np.flatnonzero(side)) for side in sides]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    size = BAGS_A_STEP.get(settings["family"], 1)
    follows = type(template.network).after_step is not Network.after_step
    template.train()
    for epoch in range(options.epochs):
        template.network.progress = epoch / options.epochs
        orders = [
            places[torch.randperm(len(places), generator=generator)]
            for places, generator in zip(train, generators, strict=True)
        ]
        for chosen in even(orders).split(size, dim=1):
            optimizer.zero_grad(set_to_none=True)
            stacked(state, *bags.take(chosen)).sum().backward()
            optimizer.step()
            if follows:  # an elementwise move, which serves stacked weights as it is
                torch.func.functional_call(template, state, ())
    template.eval()
    tests = [torch.from_numpy(np.flatnonzero(~side)) for side in sides]
    with torch.no_grad():
        logits = stacked(state, *bags.take(even(tests)))
    return [row[: len(tested)] for row, tested in zip(logits, tests, strict=True)]


def even(rows: list[Tensor]) -> Tensor:
    """Stack rows, the shorter ones begun anew where they end."""
    places = torch.arange(max(len(row) for row in rows))
    return torch.stack([row[places % len(row)] for row in rows])


def cross_validate(name: str, dataset: Dataset, options: argparse.Namespace) -> np.ndarray:
    """Accuracies [runs, folds] of a network on the published test folds."""
    read = {**SHARED, **NETWORKS[name]}
    sides = [side for run in dataset.folds[: options.runs] for side in run]
    accuracy = np.zeros(len(sides))
    longest = max(len(bag) for bag in dataset.bags)
    most = max(1, min(len(sides), 4000 // longest))  # memory grows with the longest bag
    for first in range(0, len(sides), most):
        chosen = range(first, min(first + most, len(sides)))
        seeds = [options.seed * 10_000 + place for place in chosen]
        logits = train_folds(read, dataset, [sides[place] for place in chosen], seeds, options)
        for place, predicted in zip(chosen, logits, strict=True):
            accuracy[place] = (predicted.argmax(1).numpy() == dataset.labels[~sides[place]]).mean()
    return accuracy.reshape(len(dataset.folds[: options.runs]), -1)


# -- printing ---------------------------------------------------------------------------------------------------------


def report(dataset: str, names: list[str], data: Dataset, options: argparse.Namespace) -> list[str]:
    """Train and print networks one by one; give the sentences on those that fall short."""
    runs = len(data.folds[: options.runs])
    instances = [len(bag) for bag in data.bags]
    print(
        f"{dataset}: {len(data.bags)} bags ({int(data.labels.sum())} positive) of {min(instances)} to {max(instances)} "
        f"instances with {data.bags[0].shape[1]} features; {runs} x {len(data.folds[0])} folds, {options.epochs} epochs"
    )
    print(f"{'network':<14}{'accuracy, mean ± sd':<22}{'published':<12}{'difference':<13}minutes")
    short = []
    for name in names:
        start = time.perf_counter()
        accuracy = cross_validate(name, data, options)
        mean, spread = float(accuracy.mean()), float(accuracy.std(ddof=1))
        published = PUBLISHED.get(name, {}).get(dataset)
        told = ("–", "–") if published is None else (f"{published:.3f}", f"{mean - published:+.3f}")
        minutes = (time.perf_counter() - start) / 60
        print(f"{name:<14}{f'{mean:.3f} ± {spread:.3f}':<22}{told[0]:<12}{told[1]:<13}{minutes:.1f}", flush=True)
        if published is not None and mean < published - TOLERANCE:
            short.append(f"{name} on {dataset} ({mean:.3f} against {published:.3f})")
    return short


def main() -> None:
    """Read, train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the MIDatasets_<Name>.jld")
    parser.add_argument("--dataset", choices=DATASETS, action="append", help="may be repeated; default: musk1")
    parser.add_argument("--networks", default=",".join(NETWORKS), help="names with commas between; default: all")
    parser.add_argument("--runs", type=int, default=1, help="how many of the published divisions into folds, 1 to 5")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--weight-decay", type=float, default=5e-3)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    names = options.networks.split(",")
    unknown = [name for name in names if name not in NETWORKS]
    if unknown or options.runs < 1 or options.epochs < 1:
        parser.error(f"no such network: {', '.join(unknown)}" if unknown else "--runs and --epochs begin at 1")
    torch.set_num_threads(options.threads)
    torch.set_deterministic_debug_mode("error")
    try:
        data = {name: read_dataset(find_dataset(options.folder, name)) for name in options.dataset or ["musk1"]}
    except NephroscaleError as fault:
        sys.exit(str(fault))
    short = [sentence for name, dataset in data.items() for sentence in report(name, names, dataset, options)]
    print(f"falls short of the published accuracy by more than {TOLERANCE}: {', '.join(short) or 'nowhere'}")


if __name__ == "__main__":
    main()
