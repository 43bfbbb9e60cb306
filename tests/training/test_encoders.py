"""Networks of transformers fine-tuned in a training: the same bytes after a kill, and outputs without paths."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from nephroscale.features.weights import digest_weights
from nephroscale.models.weights import load_model
from nephroscale.training.data import collate
from support.stored_features import Cohort
from support.training import train_fold, trained_files

pytestmark = pytest.mark.slow

transformers = pytest.importorskip("transformers")
TRAIN: dict[str, Any] = {"epochs": 2, "patience": 2, "learning_rate": 1e-3, "final_learning_rate": 1e-3}


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("default")


def save_weights(kind: str, folder: Path) -> None:
    """Random weights of a small network for images of 16 pixels."""
    torch.manual_seed(0)
    if kind == "resnet":
        layout = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
        transformers.ResNetModel(transformers.ResNetConfig(**layout)).save_pretrained(folder)
    else:
        layout = {"embed_dim": 8, "depths": [2, 1], "num_heads": [2, 4]}
        config = transformers.SwinConfig(image_size=16, patch_size=2, window_size=2, **layout)
        transformers.SwinModel(config, add_pooling_layer=False).save_pretrained(folder)


@pytest.mark.parametrize(("kind", "trainable"), [("resnet", "all"), ("resnet", "last"), ("swin", "all")])
def test_killed_and_resumed_it_ends_with_the_same_bytes(
    pixel_cohort: Cohort, tmp_path: Path, kind: str, trainable: str
) -> None:
    class Killed(Exception):  # noqa: N818
        pass

    def kill(line: str) -> None:
        if line.startswith("epoch 1 of"):
            raise Killed

    save_weights(kind, tmp_path / "weights")
    weights = {"weights": str(tmp_path / "weights"), "digest": digest_weights(tmp_path / "weights")}
    model = {"hidden": 8, "encoder": {"name": "huggingface", "trainable": trainable, **weights}}

    def train(name: str, log: Any = print) -> dict[str, bytes]:
        train_fold(pixel_cohort, tmp_path / name, model, TRAIN, log=log)
        return trained_files(tmp_path / name)

    whole = train("whole")
    with pytest.raises(Killed):
        train("killed", kill)
    assert train("killed") == whole
    assert not any(str(tmp_path).encode() in content for content in whole.values())

    network, card = load_model(tmp_path / "whole" / "out")
    assert card.settings.options["encoder"].architecture["kind"] == kind
    assert json.loads(whole["curve.json"])[-1]["epoch"] == 2
    assert network(collate(pixel_cohort.data().bags("test", card.modalities))).logits["fusion"].isfinite().all()
