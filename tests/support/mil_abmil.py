"""ABMIL trained fold by fold in NumPy, with the gradient written out.

A fold's weights, gradient and momentum then stay in a processor's cache, and a step calls few operations. The steps are
those of :func:`support.mil_benchmark.train_folds`, in a fraction of its time. Of two logits only the difference
matters; it is one unit whose gradient counts twice.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import expit

from nephroscale.models.registry import build
from support.mil_benchmark import Bags, outputs_of

if TYPE_CHECKING:
    import argparse

    from nephroscale.models.settings import ModelSettings
    from support.mil_benchmark import Dataset


class FlatABMIL:
    """The weights of one ABMIL in one vector, and the gradient of a bag's loss.

    Parameters
    ----------
    settings
        Of the family `abmil`.
    width
        Features of an instance.
    """

    def __init__(self, settings: ModelSettings, width: int) -> None:
        self.outputs = outputs_of(settings)
        named = dict(build(settings, {"TEM": (1, 1, width)}, self.outputs).named_parameters())
        if self.outputs == 2:
            named |= {name: named[name].diff(dim=0) for name in ("classifier.weight", "classifier.bias")}
        self.weights = torch.cat([tensor.detach().flatten() for tensor in named.values()]).numpy()
        self.gradient = np.zeros_like(self.weights)
        ends = list(accumulate((tensor.numel() for tensor in named.values()), initial=0))
        self.of, self.to = (
            {n: whole[a:b].reshape(t.shape) for (n, t), (a, b) in zip(named.items(), pairwise(ends), strict=True)}
            for whole in (self.weights, self.gradient)
        )
        self.layers = [name[:-7] for name in named if name.startswith("embedding.") and name.endswith(".weight")]
        self.gated = "attention.gate.weight" in named

    def forward(
        self, instances: np.ndarray, kept: list[np.ndarray] | None = None
    ) -> tuple[list[np.ndarray], tuple[np.ndarray, ...], float]:
        """Give the outputs of the layers, those of the attention and the logit of a bag [n, C].

        The attention has its tanh layer, its sigmoid layer, their product, the weights [n] and the weighted mean [D].
        """
        of, vectors = self.of, [instances]
        for place, name in enumerate(self.layers):
            out = vectors[-1] @ of[f"{name}.weight"].T
            out += of[f"{name}.bias"]
            np.maximum(out, 0, out=out)
            if kept is not None:
                out *= kept[place]
            vectors.append(out)
        content = np.tanh(vectors[-1] @ of["attention.content.weight"].T + of["attention.content.bias"])
        gate = hidden = content
        if self.gated:
            gate = expit(vectors[-1] @ of["attention.gate.weight"].T + of["attention.gate.bias"])
            hidden = content * gate
        score = hidden @ of["attention.score.weight"][0]
        shares = np.exp(score - score.max())
        shares /= shares.sum()
        mean = shares @ vectors[-1]
        logit = mean @ of["classifier.weight"][0] + of["classifier.bias"][0]
        return vectors, (content, gate, hidden, shares, mean), float(logit)

    def differentiate(self, instances: np.ndarray, label: int, kept: list[np.ndarray]) -> None:
        """Fill the gradient of the cross-entropy of one bag [n, C]; `kept` are the masks of dropout, scaled."""
        of, to = self.of, self.to
        vectors, (content, gate, hidden, shares, mean), logit = self.forward(instances, kept)
        error = np.float32(expit(logit) - label)
        to["classifier.bias"][0] = error * self.outputs
        np.multiply(mean, error * self.outputs, out=to["classifier.weight"][0])
        pooled = of["classifier.weight"][0] * error
        by_share = vectors[-1] @ pooled
        score = shares * (by_share - shares @ by_share)
        np.dot(score, hidden, out=to["attention.score.weight"][0])
        back = np.outer(shares, pooled)
        before = np.outer(score, of["attention.score.weight"][0])
        slopes = {"content": (1 - content**2) * (before * gate if self.gated else before)}
        if self.gated:
            slopes["gate"] = before * hidden * (1 - gate)
        for name, slope in slopes.items():
            np.dot(slope.T, vectors[-1], out=to[f"attention.{name}.weight"])
            slope.sum(0, out=to[f"attention.{name}.bias"])
            back += slope @ of[f"attention.{name}.weight"]
        for place in reversed(range(len(self.layers))):
            name = self.layers[place]
            back *= kept[place]
            back *= vectors[place + 1] > 0
            np.dot(back.T, vectors[place], out=to[f"{name}.weight"])
            back.sum(0, out=to[f"{name}.bias"])
            if place:
                back = back @ of[f"{name}.weight"]


def train_abmil(
    settings: ModelSettings, dataset: Dataset, sides: list[np.ndarray], seeds: list[int], options: argparse.Namespace
) -> list[torch.Tensor]:
    """Train and test one ABMIL for each fold, one after the other.

    Parameters and results are those of :func:`support.mil_benchmark.train_folds`.
    """
    pairs = zip(sides, seeds, strict=True)
    return [torch.from_numpy(_train_fold(settings, dataset, side, seed, options)) for side, seed in pairs]


def _train_fold(
    settings: ModelSettings, dataset: Dataset, side: np.ndarray, seed: int, options: argparse.Namespace
) -> np.ndarray:
    scaled = Bags(dataset, [side])
    mean, spread = scaled.mean[0, 0].numpy(), scaled.spread[0, 0].numpy()
    bags = [(bag - mean) / spread for bag in dataset.bags]
    starts = [0, *accumulate(len(bag) for bag in bags)]
    torch.manual_seed(seed)
    network = FlatABMIL(settings, bags[0].shape[1])
    weights, gradient = network.weights, network.gradient
    momentum, scratch = np.zeros_like(weights), np.zeros_like(weights)
    ends = np.cumsum([len(network.of[f"{name}.bias"]) for name in network.layers])
    rate = settings.options["embedding_dropout"]
    order, random = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    for _ in range(options.epochs):
        drawn = random.random((starts[-1], int(ends[-1])), np.float32)
        masks = np.split((drawn >= rate) * np.float32(1 / (1 - rate)), ends[:-1], axis=1)
        for bag in torch.randperm(len(bags), generator=order).tolist():
            if side[bag]:
                kept = [mask[starts[bag] : starts[bag + 1]] for mask in masks]
                network.differentiate(bags[bag], int(dataset.labels[bag]), kept)
                np.multiply(weights, options.weight_decay, out=scratch)
                momentum *= options.momentum
                momentum += gradient
                momentum += scratch
                np.multiply(momentum, options.learning_rate, out=scratch)
                weights -= scratch
    logits = np.array([network.forward(bags[bag])[2] for bag in np.flatnonzero(~side)], np.float32)
    return np.stack([np.zeros_like(logits), logits], axis=1)
