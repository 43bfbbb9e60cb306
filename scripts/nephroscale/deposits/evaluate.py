"""Predictions of the trained variants, and both systems joined: on a fold's test side, and for new patients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nephroscale.arrays import write_arrays
from nephroscale.collect import grouped
from nephroscale.deposits.images import load_pictures
from nephroscale.deposits.predictions import HEAT, Prediction, choose_weight, write_predictions, write_weight
from nephroscale.deposits.settings import COMBINED, EQUAL, PLAIN, SVM
from nephroscale.deposits.train import WEIGHTS, join_stages, make_backbone, read_validation
from nephroscale.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import torch

    from nephroscale.deposits.images import ImageInstances
    from nephroscale.deposits.plain import PlainNetwork
    from nephroscale.deposits.settings import DepositsSettings

HEAT_STAGE = 1
"""The backbone's stage that shows where it looks: of EfficientNet-Lite0 40 channels at 1/8 of the image's side.

Maps at 1/4 agreed less with the outlines of the demo (docs/deposits.md).
"""


def evaluate_deposits(
    models: Mapping[str, Path],
    labels: Mapping[str, bool],
    bags: Mapping[str, Path],
    settings: DepositsSettings,
    *,
    seed: int,
    out: Path,
    device: str = "cpu",
) -> dict[str, object]:
    """Predict the labelled images of a fold's test side with every variant, and with both systems joined.

    Parameters
    ----------
    models
        Variant to the object of its training.
    labels
        Image id to label, of the test side.
    bags
        Patient to the object of the stage `tem`, of the test side.
    settings
        Backbone and batch size.
    seed
        Of the trainings.
    out
        Folder to make: `predictions.csv`, `weight.json` (weight of the plain network, chosen on the validation side)
        and, with the plain network, `heat.zarr` (where it looks; [n, h, w] float16, one map for each instance).
    device
        `cpu` or `cuda`.

    Raises
    ------
    Rejected
        When the test side has no labelled image, or no variant could be trained.
    """
    pictures = load_pictures(bags, labels, settings.backbone.size_px)
    if not pictures or not models:
        raise Rejected(
            "no variant could be trained"
            if pictures
            else "the test side has no labelled image; read images of more patients"
        )
    found, weight = predict_joined(models, pictures, settings, seed=seed, device=device)
    out.mkdir()
    rows = [
        Prediction(p.id, p.patient, bool(p.label), {name: float(values[i]) for name, values in found.items()})
        for i, p in enumerate(pictures)
    ]
    write_predictions(out, rows)
    write_weight(out, weight)
    if PLAIN in models:
        network = load_plain(models[PLAIN], settings, device)
        heat = [activation_maps(network, picture, device) for picture in pictures]
        write_arrays(
            out / HEAT,
            {
                "heat": np.concatenate(heat).astype(np.float16),
                "image": np.repeat(np.arange(len(pictures)), [len(h) for h in heat]).astype(np.int32),
                "box": np.concatenate([p.box for p in pictures]).astype(np.int32),
                "valid": (np.concatenate([p.valid for p in pictures]) / settings.backbone.size_px).astype(np.float32),
            },
            {"images": [p.id for p in pictures]},
        )
    return {"images": len(pictures), "with_deposits": sum(bool(p.label) for p in pictures), "weight": weight}


def predict_new_deposits(
    members: Mapping[tuple[int, int], Mapping[str, Path]],
    bags: Mapping[str, Path],
    settings: DepositsSettings,
    *,
    out: Path,
    device: str = "cpu",
) -> dict[str, object]:
    """Predict all TEM images of new patients: the mean over folds and seeds.

    Parameters
    ----------
    members
        Fold and seed to the objects of its plain network and its SVM.
    bags
        Patient to the object of the stage `tem`.
    settings
        Backbone and batch size.
    out
        Folder to make: `predictions.csv`, with the plain network, the SVM and both joined.
    device
        `cpu` or `cuda`.

    Raises
    ------
    Rejected
        When there is no image, or no model.
    """
    pictures = load_pictures(bags, None, settings.backbone.size_px)
    if not pictures or not members:
        raise Rejected("no TEM image can be used" if members else "no model of deposits could be trained")
    found = grouped(
        (name, values)
        for (_, seed), models in sorted(members.items())
        for name, values in predict_joined(models, pictures, settings, seed=seed, device=device)[0].items()
    )
    means = {name: np.mean(values, axis=0) for name, values in found.items()}
    out.mkdir()
    write_predictions(
        out,
        [
            Prediction(p.id, p.patient, None, {name: float(values[i]) for name, values in means.items()})
            for i, p in enumerate(pictures)
        ],
    )
    return {"images": len(pictures), "patients": len({p.patient for p in pictures}), "members": len(members)}


def predict_joined(
    models: Mapping[str, Path],
    pictures: Sequence[ImageInstances],
    settings: DepositsSettings,
    *,
    seed: int,
    device: str,
) -> tuple[dict[str, np.ndarray], float | None]:
    """Give the probability of deposits [pictures] by each variant and by both systems joined, and their weight."""
    found = predict_variants(models, pictures, settings, seed=seed, device=device)
    weight = fold_weight(models)
    if weight is not None:
        found[COMBINED] = weight * found[PLAIN] + (1 - weight) * found[SVM]
        found[EQUAL] = (found[PLAIN] + found[SVM]) / 2
    return found, weight


def predict_variants(
    models: Mapping[str, Path],
    pictures: Sequence[ImageInstances],
    settings: DepositsSettings,
    *,
    seed: int,
    device: str,
) -> dict[str, np.ndarray]:
    """Give the probability of deposits [pictures] by each variant."""
    from nephroscale.deposits.backbone import pooled_features
    from nephroscale.deposits.plain import predict
    from nephroscale.deposits.svm import load_svm

    found: dict[str, np.ndarray] = {}
    pooled: dict[bool, list[np.ndarray]] = {}
    for variant, folder in models.items():
        if variant == PLAIN:
            found[variant] = predict(load_plain(folder, settings, device), pictures, device, settings.batch_size)
            continue
        random = variant == "svm-random-weights"
        if random not in pooled:
            pooled[random] = pooled_features(
                make_backbone(settings, variant, seed), pictures, device, settings.batch_size
            )
        found[variant] = load_svm(folder).probabilities(join_stages(pooled[random], variant))
    return found


def fold_weight(models: Mapping[str, Path]) -> float | None:
    """Choose the weight of the plain network on the validation side; None without both systems."""
    if PLAIN not in models or SVM not in models:
        return None
    plain, svm = read_validation(models[PLAIN]), read_validation(models[SVM])
    images = sorted(plain)
    return choose_weight(
        np.array([plain[image][0] for image in images]),
        np.array([plain[image][1] for image in images]),
        np.array([svm[image][1] for image in images]),
    )


def activation_maps(network: PlainNetwork, picture: ImageInstances, device: str) -> np.ndarray:
    """Show where the plain network sees deposits: LayerCAM at a fine stage.

    Each activation is weighted by the positive part of the logit's gradient there, and summed over the channels
    (Jiang P-T et al. LayerCAM: exploring hierarchical class activation maps. IEEE TIP 2021, equations 5 to 7).

    Returns
    -------
    numpy.ndarray
        [k, h, w] float32, for each instance of the picture; not negative.
    """
    import torch

    network.eval()
    maps: torch.Tensor | None = None
    found = []
    for index in range(len(picture)):
        pixels = torch.from_numpy(picture.read(index)).to(device)[None]
        network.zero_grad(set_to_none=True)
        stages = network.backbone.stage_maps(pixels)
        maps = stages[HEAT_STAGE]
        (gradient,) = torch.autograd.grad(network.classify(stages[-1].mean((2, 3))).sum(), maps)
        found.append((maps * gradient.clamp(min=0)).sum(1).clamp(min=0)[0].detach().float().cpu().numpy())
    return np.stack(found)


def load_plain(folder: Path, settings: DepositsSettings, device: str) -> PlainNetwork:
    """Load a trained plain network."""
    from safetensors.torch import load_file

    from nephroscale.deposits.backbone import Backbone
    from nephroscale.deposits.plain import PlainNetwork

    state = load_file(folder / WEIGHTS)
    network = PlainNetwork(Backbone(settings.backbone, pretrained=False), state["head.weight"].shape[1])
    network.load_state_dict(state)
    return network.to(device).eval()
