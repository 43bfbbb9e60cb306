"""The classical MIL data sets: reading them as Julia's JLD writes them, and training all folds at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import torch
from scipy.io import loadmat
from scipy.io.matlab import MatReadError
from sklearn.model_selection import StratifiedKFold
from torch import Tensor, nn

from nephroscale.errors import NephroscaleError
from nephroscale.models.batch import Batch
from nephroscale.models.network import Network
from nephroscale.models.registry import build, config_of
from nephroscale.models.settings import ModelSettings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping
    from pathlib import Path

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
SHARED = {"embedding": [256, 128, 64], "embedding_dropout": 0.5, "attention_width": 64}
BAGS_A_STEP = {"sc-mil": 16}
ONE_UNIT = ("abmil", "mean-pooling", "max-pooling")
"""Families that end in one sigmoid unit here, as in Ilse et al.; the others, and gated ABMIL, have two logits."""


def outputs_of(settings: ModelSettings) -> int:
    """Number of logits of a network: one unit, or one logit for each class."""
    return 1 if settings.family in ONE_UNIT and not settings.options.get("gated") else 2


def settings_of(options: Mapping[str, Any]) -> ModelSettings:
    """Settings of a network over TEM bags, with those of the shared options that its family reads."""
    shared = {key: value for key, value in SHARED.items() if key in config_of(options["family"]).schema()["properties"]}
    chosen = {**shared, **{key: value for key, value in options.items() if key != "family"}}
    return ModelSettings(options["family"], ("TEM",), options=chosen)


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
    published
        Whether the folds are those of the file, and not divisions of our own.
    """

    bags: list[np.ndarray]
    labels: np.ndarray
    folds: list[list[np.ndarray]]
    published: bool = True


def find_dataset(folder: Path, name: str) -> Path:
    """Find the file of a data set, whatever the case of its name; `.jld` before `.mat`."""
    wanted = (f"midatasets_{name}.jld", f"{name}.mat", f"{name[:-1]}_{name[-1]}.mat")
    there = sorted(path for path in folder.glob("*") if path.suffix in (".jld", ".mat")) if folder.is_dir() else []
    found = {path.name.casefold(): path for path in there}
    for file in wanted:
        if file in found:
            return found[file]
    raise NephroscaleError(
        f"There is no file of the data set {name}.",
        where=f"{folder} ({', '.join(path.name for path in there) or 'no .jld or .mat file'})",
        fix=f"Put MIDatasets_{name.capitalize()}.jld or {name}.mat there.",
    )


def read_dataset(path: Path) -> Dataset:
    """Read a data set as Julia's JLD writes it: HDF5 with `X`, `y` and `folds`.

    `X` refers to one Float32 matrix a bag. Julia stores by columns, so that here a row is a feature and a column an
    instance. `y` and each fold are BitArrays: whole 64-bit words, the first bit in the lowest place.

    A `.mat` file has no folds; see :func:`read_mat`.
    """
    if path.suffix == ".mat":
        return read_mat(path)
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
            fix="Download the file again; it has to contain X (bags), y (labels) and folds as Julia's JLD writes them.",
        ) from error
    return Dataset(bags, labels.astype(np.int64), folds)


def read_mat(path: Path) -> Dataset:
    """Read a data set as MATLAB's .mat with `X` [instances, features], `BagI` and `Bag2`, and divide it five times.

    Of `BagI` and `Bag2`, the one with more different values gives the bag of each instance. The other gives the labels,
    of instances or of bags: 1 is positive, 0, -1 or 2 is negative. A bag with a positive instance is positive. There
    are no published folds: each division has ten stratified folds of our own.
    """
    try:
        content = loadmat(path)
        instances = np.asarray(content["X"], np.float32)
        one, other = (np.asarray(content[key]).ravel() for key in ("BagI", "Bag2"))
        whose, marks = (one, other) if len(np.unique(one)) > len(np.unique(other)) else (other, one)
        if not (len(whose) == len(instances) and set(marks.tolist()) <= {-1, 0, 1, 2}):
            raise ValueError(f"BagI and Bag2 do not give a bag and a label for each of {len(instances)} instances.")
        names = np.unique(whose)
        if len(marks) not in (len(names), len(instances)):
            raise ValueError(f"there are {len(marks)} labels for {len(names)} bags.")
        bags = [instances[whose == name] for name in names]
        labels = marks == 1 if len(marks) == len(names) else np.array([(marks[whose == n] == 1).any() for n in names])
        _check(bags, labels, [[np.zeros(len(bags), bool)]])
    except (OSError, KeyError, ValueError, TypeError, NotImplementedError, MatReadError) as error:
        raise NephroscaleError(
            f"This is not a MIL data set: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            where=str(path),
            fix="It has to contain X [instances, features], BagI and Bag2, saved by MATLAB before version 7.3.",
        ) from error
    folds = []
    for run in range(5):
        division = StratifiedKFold(10, shuffle=True, random_state=run).split(labels, labels)
        folds.append([np.isin(np.arange(len(bags)), train) for train, _ in division])
    return Dataset(bags, labels.astype(np.int64), folds, published=False)


def _follow(file: h5py.File, references: Any) -> list[Any]:
    """Read the targets of an array of references; the array is given itself or by its name."""
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
        logits = output.logits["fusion"]
        if logits.shape[1] == 1:  # the sigmoid of z is the softmax of (0, z)
            output = replace(output, logits={"fusion": torch.cat([torch.zeros_like(logits), logits], 1)})
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
    settings: ModelSettings, dataset: Dataset, sides: list[np.ndarray], seeds: list[int], options: argparse.Namespace
) -> list[Tensor]:
    """Train one network for each fold, all at once, and let each predict its fold's test side.

    Parameters
    ----------
    settings
        Of the network.
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
        steps.append(Step(build(settings, {"TEM": shape}, outputs_of(settings))))
    template = steps[0]
    learnt, buffers = torch.func.stack_module_state(steps)
    learnt = {name: _turn(tensor) for name, tensor in learnt.items()}
    optimizer = torch.optim.SGD(
        [tensor for tensor in learnt.values() if tensor.requires_grad],
        lr=options.learning_rate,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        fused=True,
    )

    def call(weights: dict[str, Tensor], values: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
        batch = Batch({"TEM": values[:, :, None, None]}, {"TEM": mask}, {}, labels, ())
        return torch.func.functional_call(template, weights, (batch,))

    def state() -> dict[str, Tensor]:
        return {name: tensor.mT if tensor.ndim == 3 else tensor for name, tensor in learnt.items()} | buffers

    stacked = torch.vmap(call, randomness="different")
    for tensor in learnt.values():  # torch would start with the first gradient, also in folds that rest
        optimizer.state[tensor]["momentum_buffer"] = torch.zeros_like(tensor)
    momenta = [found["momentum_buffer"] for found in optimizer.state.values()]
    changing = [*learnt.values(), *buffers.values(), *momenta]
    train = torch.from_numpy(np.stack(sides))
    generator = torch.Generator().manual_seed(seeds[0])
    size = BAGS_A_STEP.get(settings.family, 1)
    follows = type(template.network).after_step is not Network.after_step
    template.train()
    for epoch in range(options.epochs):
        template.network.progress = epoch / options.epochs
        order = torch.randperm(len(dataset.bags), generator=generator)
        for chosen, learning in take_turns(order, train, size):
            before = [tensor.detach()[~learning] for tensor in changing]
            optimizer.zero_grad(set_to_none=True)
            stacked(state(), *bags.take(chosen)).sum().backward()
            optimizer.step()
            if follows:  # an elementwise move, which serves stacked weights as it is
                torch.func.functional_call(template, state(), ())
            if not learning.all():
                with torch.no_grad():
                    for tensor, rows in zip(changing, before, strict=True):
                        tensor[~learning] = rows
    template.eval()
    tests = [torch.from_numpy(np.flatnonzero(~side)) for side in sides]
    with torch.no_grad():
        logits = stacked(state(), *bags.take(even(tests)))
    return [row[: len(tested)] for row, tested in zip(logits, tests, strict=True)]


def _turn(stacked: Tensor) -> Tensor:
    """Store stacked matrices [F, out, in] as leaves [F, in, out], whose gradients need no copy then."""
    leaf = stacked.detach().mT.contiguous() if stacked.ndim == 3 else stacked.detach()
    return leaf.requires_grad_(stacked.requires_grad)


def take_turns(order: Tensor, train: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Give the steps of an epoch: bags [F, size] and which folds learn from them [F] bool.

    With one bag a step, all folds see the same bag, which needs no padding; those that test it do not learn. With
    several, each fold goes through its own bags.
    """
    if size > 1:
        for chosen in even([order[side[order]] for side in train]).split(size, dim=1):
            yield chosen, torch.ones(len(train), dtype=torch.bool)
        return
    for bag in order:
        if (learning := train[:, bag]).any():
            yield bag.expand(len(train), 1), learning


def even(rows: list[Tensor]) -> Tensor:
    """Stack rows; shorter ones are repeated from their start."""
    places = torch.arange(max(len(row) for row in rows))
    return torch.stack([row[places % len(row)] for row in rows])
