"""Feature bags of ten patients and an ensemble of two small networks."""

import numpy as np
import pytest
import torch

from nephroscale.arrays import write_arrays
from nephroscale.evaluation.predict import Member
from nephroscale.models.registry import build
from nephroscale.models.weights import ModelCard, save_model
from support.ensemble import CLASSES
from support.networks import ALL, model_settings

SHAPE = (3, 3, 8)


@pytest.fixture(scope="session")
def ensemble(tmp_path_factory):
    """Feature bags by patient, and two networks with an ordinal head."""
    root = tmp_path_factory.mktemp("ensemble")
    rng = np.random.default_rng(0)
    features = {}
    for patient in [f"P{i}" for i in range(8)] + ["N1", "N2"]:
        features[patient] = {}
        for modality, n in (("TEM", 4), ("OM", 1), ("IM", 1)):
            arrays = {
                "features": rng.normal(size=(n, *SHAPE)).astype(np.float32),
                "image": np.arange(n, dtype=np.int16),
                "slot": np.zeros(n, np.int8),
            }
            images = [f"{patient}-{modality}{i}" for i in range(n)]
            path = root / patient / f"{modality}.zarr"
            path.parent.mkdir(exist_ok=True)
            write_arrays(path, arrays, {"patient": patient, "modality": modality, "images": images, "panel": ["IgG"]})
            features[patient][modality] = path
    members = []
    for seed, temperature in ((1, 2.0), (2, 0.5)):
        torch.manual_seed(seed)
        settings = model_settings(hidden=6, ordinal=True)
        shapes = dict.fromkeys(ALL, SHAPE)
        network = build(settings, shapes, 3)
        folder = root / f"seed{seed}"
        folder.mkdir()
        card = ModelCard(settings, shapes, 1, tuple(CLASSES), "0", seed, 1, 10, 0.0)
        save_model(folder, network.state_dict(), card)
        members.append(Member("0", seed, folder, temperature))
    return features, members
