"""Comparison of `variant: released` with numbers from the authors' code, of the form of shared/parity."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from nephroscale.models.batch import Batch, Output
from nephroscale.models.cmusnet import CMUSNet, Config
from nephroscale.training.epoch import cosine_rate
from nephroscale.training.optimizer import make_optimizer
from nephroscale.training.settings import TrainSettings

MOST_INSTANCES = 10  # the released code uses the first ten instances, without the seeded subset of the loader
STEPS = 5
TRAIN = TrainSettings(learning_rate=5e-5, final_learning_rate=5e-6, weight_decay=5e-5, epochs=40)
Case = dict[str, np.ndarray]
RELEASED_NAMES = {
    "CrossAttn.W_q": "attention.query",
    "CrossAttn.W_k": "attention.key",
    "CrossAttn.W_v": "attention.value",
    "CrossAttn.proj": "attention.projection",
    "MLP.linear1": "fusion.0",
    "MLP.linear2": "fusion.3",
    "TEM_fc.linear": "branches.TEM.linear",
    "OM_fc.linear": "branches.OM.linear",
    "IM_fc.linear": "branches.IM.linear",
}
"""Names of the layers in the authors' code, and here."""


def ours(name: str) -> str:
    """Translate a parameter's released name."""
    layer, _, kind = name.rpartition(".")
    return f"{RELEASED_NAMES[layer]}.{kind}"


def parameters(case: Case, prefix: str) -> dict[str, np.ndarray]:
    """Read the parameters of a case under our names."""
    return {ours(key.removeprefix(prefix)): case[key] for key in case if key.startswith(prefix)}


def network_of(case: Case, variant: Literal["default", "released"]) -> CMUSNet:
    """Build the network of a case with its parameters, in evaluation mode as the numbers were made."""
    weights = {name: torch.from_numpy(value) for name, value in parameters(case, "param/").items()}
    shape = case["bag0"].shape[1:]
    network = CMUSNet(
        {"TEM": shape, "OM": case["OM"].shape[1:], "IM": case["IM"].shape[1:]},
        len(weights["branches.TEM.linear.bias"]),
        Config(variant=variant, smil_threshold=float(case["t"]), hidden=len(weights["fusion.0.bias"]), ordinal=False),
    )
    # Weights beyond the paper, for several instances and absent modalities, have no effect here.
    beyond = {name: value for name, value in network.state_dict().items() if name.startswith(("pools.", "absent."))}
    network.load_state_dict({**beyond, **weights})
    return network.eval()


def batch_of(case: Case) -> Batch:
    """Pad the bags of a case."""
    bags = [case[f"bag{i}"][:MOST_INSTANCES] for i in range(len(case["y"]))]
    padded = np.zeros((len(bags), max(map(len, bags)), *bags[0].shape[1:]), np.float32)
    for row, bag in zip(padded, bags, strict=True):
        row[: len(bag)] = bag
    lengths = torch.tensor([len(bag) for bag in bags])
    one = torch.ones(len(bags), 1, dtype=torch.bool)
    return Batch.of(
        {
            "TEM": torch.from_numpy(padded),
            "OM": torch.from_numpy(case["OM"])[:, None],
            "IM": torch.from_numpy(case["IM"])[:, None],
        },
        {"TEM": torch.arange(padded.shape[1]) < lengths[:, None], "OM": one, "IM": one},
        torch.from_numpy(case["y"]).long(),
    )


def excess(a: object, b: object, relative: float) -> float:
    """Give the largest |a - b| as a share of 1e-6 + relative * |b|; infinite where shapes differ or a is not finite."""
    mine, theirs = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if mine.shape != theirs.shape or not np.isfinite(mine).all():
        return float("inf")
    ratio = np.abs(mine - theirs) / (1e-6 + relative * np.abs(theirs))
    return float(ratio[np.isfinite(theirs)].max(initial=0.0))  # where theirs is NaN, ours only has to be finite


def selection_errors(case: Case, output: Output) -> dict[str, float]:
    """Compare the selections of SMIL."""
    chosen, errors = output.selection, {"selection": 0.0}
    assert chosen is not None
    for i in range(len(case["y"])):
        n = min(len(case[f"bag{i}"]), MOST_INSTANCES)
        same = chosen.centre[i] == int(case[f"smil{i}/centre"]) and np.array_equal(
            chosen.kept[i].numpy().nonzero()[0], case[f"smil{i}/kept"]
        )
        errors["selection"] = max(
            errors["selection"],
            0.0 if same else float("inf"),
            excess(chosen.mean_distance[i], case[f"smil{i}/mean_distance"], 1e-5),
            excess(chosen.distance[i, :n], case[f"smil{i}/distance_to_centre"], 1e-5),
        )
    if np.isfinite(case["out/fusion"]).all():
        errors["selection"] = max(
            errors["selection"], excess(chosen.mean_distance.mean(), case["out/mean_distance"], 1e-5)
        )
    return errors


def losses(network: CMUSNet, output: Output, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Give each branch's loss and the total, summed over the batch."""
    each = {
        name: torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
        for name, logits in output.logits.items()
    }
    return {**each, "total": network.loss(output, labels)}


def compare(case: Case) -> dict[str, float]:
    """Compare one case: name of each quantity to its error relative to its bound."""
    finite = all(np.isfinite(case[key]).all() for key in case if key.startswith(("out/", "loss/")))
    network, batch = network_of(case, "released" if finite else "default"), batch_of(case)
    output = network(batch)
    errors = selection_errors(case, output)
    each = losses(network, output, batch.labels)
    each["total"].backward()
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    if not finite:
        values = [*output.logits.values(), *each.values(), *gradients.values()]
        errors["finite"] = 0.0 if all(bool(v.isfinite().all()) for v in values) else float("inf")
        return errors

    errors["outputs"] = max(
        excess(output.logits[name].detach(), case[f"out/{name}"], 1e-5) for name in ("fusion", "OM", "IM", "TEM")
    )
    errors["losses"] = max(excess(each[name].detach(), case[f"loss/{name}"], 1e-5) for name in each)
    errors["gradients"] = max(excess(gradients[n], value, 1e-4) for n, value in parameters(case, "grad/").items())

    optimizer, by_step = make_optimizer(network, TRAIN), []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(step, TRAIN)
        optimizer.zero_grad()
        loss = network.loss(network(batch), batch.labels)
        loss.backward()
        optimizer.step()
        by_step.append(loss.item())
    errors["training losses"] = excess(by_step, case["train/loss_by_step"], 1e-5)
    after = parameters(case, "train/param_after_5/")
    trained = network.state_dict()
    errors["trained parameters"] = max(excess(trained[name], value, 1e-4) for name, value in after.items())
    return errors
