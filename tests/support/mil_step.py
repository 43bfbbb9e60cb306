"""Two forms of a training step of CMUS-Net: one padded, masked forward pass, and the per-instance form.

The per-instance form is what fault 5 of the released code describes: encoders run one image at a time, distances are
computed in NumPy, instance by instance, and patients follow one another.
"""

from __future__ import annotations

from argparse import Namespace

import numpy as np
import torch

from nephroscale.models.batch import Batch, Output
from nephroscale.models.cmusnet import CMUSNet, Config
from nephroscale.models.settings import TrainableEncoderSettings, TrainedEncoderSettings
from nephroscale.training.optimizer import make_optimizer
from nephroscale.training.precision import autocast
from nephroscale.training.precision import prepare as prepare_network
from nephroscale.training.settings import PAPER, TrainSettings

TRAIN = TrainSettings.from_mapping(PAPER)
SEED = 0
SWIN_B = {
    "embed_dim": 128,
    "depths": [2, 2, 18, 2],
    "num_heads": [4, 8, 16, 32],
    "image_size": 224,
    "window_size": 7,
    "drop_path_rate": 0.0,
}


def per_instance(network: CMUSNet, batch: Batch) -> Output:
    """Patient by patient, image by image, distances in NumPy."""
    logits: dict[str, list[torch.Tensor]] = {name: [] for name in ("TEM", "OM", "IM", "fusion")}
    for i in range(len(batch)):
        maps = []
        for pixels in batch.features["TEM"][i][batch.mask["TEM"][i]]:
            maps.append(network.encoders["TEM"](pixels[None]).float())  # noqa: PERF401  (the form under test)
        flat = np.stack([m.detach().cpu().numpy().ravel() for m in maps]).astype(np.float64)  # waits for each
        flat = (flat - flat.min()) / (flat.max() - flat.min())
        distances = np.stack([np.sqrt(((flat - instance) ** 2).sum(1)) for instance in flat])
        centre = int(distances.sum(1).argmin())
        mean = distances.sum() / (len(flat) * (len(flat) - 1))
        kept = [j for j in range(len(flat)) if distances[centre, j] <= network.smil.threshold * mean]  # type: ignore[union-attr]
        nearness = {j: 1 / (distances[centre, j] + 1e-8) for j in kept if j != centre}
        least, most = min(nearness.values()), max(nearness.values())
        weight = {j: (value - least) / (most - least) for j, value in nearness.items()} | {centre: 1.0}
        tem = torch.stack([maps[j] * weight[j] for j in kept]).sum(0)
        seen = {"TEM": tem}
        for name in ("OM", "IM"):
            other = network.encoders[name](batch.features[name][i]).float()
            seen[name] = other + network.attention(tem, other[:, None], need_attention=True)[0][:, 0]  # type: ignore[misc]
        pooled = {name: value.mean((1, 2)) for name, value in seen.items()}
        for name, value in pooled.items():
            logits[name].append(network.branches[name].linear(value))
        logits["fusion"].append(network.fusion(torch.cat(list(pooled.values()), -1)))
    return Output({name: torch.cat(value) for name, value in logits.items()})


def patients(size: int, batch: int, instances: int) -> Batch:
    """Random patients with bags of up to `instances`, as ragged as real ones."""
    generator = torch.Generator().manual_seed(SEED)
    lengths = torch.randint(max(3, instances // 2), instances + 1, (batch,), generator=generator)
    lengths[0] = instances
    features, masks = {}, {}
    for name in ("TEM", "OM", "IM"):
        n = instances if name == "TEM" else 1
        masks[name] = torch.arange(n) < (lengths[:, None] if name == "TEM" else 1)
        masks[name] = masks[name].expand(batch, n)
        pixels = torch.randint(0, 256, (batch, n, size, size, 3), generator=generator, dtype=torch.uint8)
        features[name] = pixels * masks[name][:, :, None, None, None]
    return Batch.of(features, masks, torch.randint(0, 3, (batch,), generator=generator))


def encoder_settings(arguments: Namespace) -> TrainableEncoderSettings:
    """Settings of the encoder that is trained."""
    if arguments.encoder == "small-cnn":
        return TrainableEncoderSettings("small-cnn", width=arguments.width)
    layout = {"kind": "swin", "layout": SWIN_B, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    return TrainedEncoderSettings(arguments.encoder, architecture=layout)


def prepare(arguments: Namespace) -> tuple[CMUSNet, torch.optim.Optimizer, Batch]:
    """Make a network, its optimizer and a batch, equal each time."""
    torch.manual_seed(SEED)
    shape = (arguments.size, arguments.size, 3)
    shapes = dict.fromkeys(("TEM", "OM", "IM"), shape)
    config = Config(encoder=encoder_settings(arguments), dropout=0.0, ordinal=False)
    network = CMUSNet(shapes, 3, config).to(arguments.device)
    prepare_network(network, TRAIN)
    batch = patients(arguments.size, arguments.batch, arguments.instances)
    return network, make_optimizer(network, TRAIN), batch.to(arguments.device)


def rounding(device: str, size: int, width: int) -> tuple[float, float]:
    """How far bfloat16 is from float32 in one step on a fixed batch: the loss, and the gradient as one vector.

    Both are relative to float32.
    """
    losses, gradients = [], []
    for precision in ("float32", "bfloat16"):
        case = Namespace(encoder="small-cnn", size=size, width=width, batch=4, instances=6, device=device)
        network, _, batch = prepare(case)
        with autocast(device, precision):
            loss = network.batch_loss(network(batch), batch)
        loss.backward()
        losses.append(float(loss.detach()))
        gradients.append(torch.cat([p.grad.flatten().double() for p in network.parameters() if p.grad is not None]))
    exact, rounded = gradients
    return abs(losses[1] - losses[0]) / losses[0], float((rounded - exact).norm() / exact.norm())
