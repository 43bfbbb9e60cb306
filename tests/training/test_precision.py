"""Settings for a GPU, tested on the CPU: bfloat16 and channels-last, for every family."""

import json
import math
import os
from pathlib import Path

import pytest
import torch

from nephroscale.models.batch import Batch
from nephroscale.models.encoders.common import Encoder
from nephroscale.models.mil.sc_mil import contrastive_loss
from nephroscale.models.registry import FAMILIES
from nephroscale.training import precision
from nephroscale.training.checkpoint import Checkpoint, CurvePoint, TrainingProgress
from nephroscale.training.epoch import validate
from nephroscale.training.precision import prepare
from nephroscale.training.settings import TrainSettings
from support.mil_step import rounding
from support.networks import build_network
from support.stored_features import Cohort
from support.training import train_fold

TRAIN = {"epochs": 1, "patience": 1, "batch_size": 6, "precision": "bfloat16"}


def small(family: str) -> dict[str, object]:
    return {"family": family, "embedding": [16]} if ".mil." in FAMILIES[family] else {"family": family, "hidden": 8}


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_is_trained_in_bfloat16(family: str, cohort: Cohort, tmp_path: Path) -> None:
    heads = {"heads": 2} if family in {"self-attention", "mmformer"} else {}
    model = {**small(family), **heads}
    train_fold(cohort, tmp_path, model, TRAIN)
    (point,) = json.loads((tmp_path / "out" / "curve.json").read_text())
    assert math.isfinite(point["train_loss"])
    assert math.isfinite(point["validation_loss"])


@pytest.mark.parametrize("preset", [None, "elsewhere"])
def test_compiled_code_is_kept_where_the_next_job_finds_it(
    preset: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {"XDG_CACHE_HOME": str(tmp_path)})
    monkeypatch.setattr(precision, "compile_block", lambda _block: None)
    if preset:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = preset
    shapes = dict.fromkeys(("TEM", "OM", "IM"), (16, 16, 3))
    network = build_network(shapes, encoder={"name": "small-cnn", "width": 8})
    prepare(network, TrainSettings(compile=False))
    assert os.environ.get("TORCHINDUCTOR_CACHE_DIR") == preset
    prepare(network, TrainSettings(compile=True))
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == (preset or str(tmp_path / "nephroscale/compiled"))


@pytest.mark.slow
@pytest.mark.parametrize(("size", "width", "loss", "gradient"), [(28, 16, 0.0005, 0.03), (56, 32, 0.004, 0.1)])
def test_a_step_in_bfloat16_differs_from_float32_by_rounding_alone(
    size: int, width: int, loss: float, gradient: float
) -> None:
    found = rounding("cpu", size, width)
    assert 0 < found[0] < loss
    assert 0 < found[1] < gradient


def test_the_contrast_keeps_its_precision_under_autocast() -> None:
    projected = torch.nn.functional.normalize(torch.randn(6, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    labels = torch.tensor([0, 1, 0, 1, 2, 2])
    exact = contrastive_loss(projected, labels, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(contrastive_loss(projected, labels, 0.1), exact)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_encoder_of_a_network_is_laid_out_channels_last(family: str) -> None:
    shapes = dict.fromkeys(("TEM", "OM", "IM"), (16, 16, 3))
    network = build_network(shapes, family=family, encoder={"name": "small-cnn", "width": 8})
    prepare(network, TrainSettings(channels_last=True))
    encoders = [module for module in network.modules() if isinstance(module, Encoder)]
    assert len(encoders) >= 3
    for encoder in encoders:
        assert encoder.channels_last
        kernels = [weight for weight in encoder.parameters() if weight.dim() == 4]
        assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in kernels)


def test_a_patient_between_two_classes_counts_in_no_sensitivity(
    cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build_network({"TEM": (1, 1, 3)}, 2, family="mean-pooling", embedding=[4], modalities=["TEM"])
    with torch.no_grad():
        network.classifier.weight.zero_()  # type: ignore[union-attr]
        network.classifier.bias.copy_(torch.tensor([0.0, 1.0]))  # type: ignore[union-attr]
    features, mask = {"TEM": torch.ones(2, 1, 1, 1, 3)}, {"TEM": torch.ones(2, 1, dtype=torch.bool)}
    batch = Batch.of(features, mask, torch.tensor([1, 0]), ["A", "B"], torch.tensor([1, 1]))
    monkeypatch.setattr("nephroscale.training.epoch.batches", lambda *_: [batch])
    assert validate(network, [None, None], TrainSettings())[1] == 1.0  # type: ignore[list-item]
    batch = Batch.of(features, mask, torch.tensor([0, 0]), ["A", "B"], torch.tensor([1, 1]))
    assert validate(network, [None, None], TrainSettings())[1] is None  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("wanted", "images", "compiles"), [(True, 0, True), (None, 10**6, False), (False, 10**6, False)]
)
def test_compiling_is_by_block_and_by_request_on_a_cpu(
    wanted: bool | None, images: int, compiles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[dict[str, object]] = []
    monkeypatch.setattr(torch, "compile", lambda forward, **options: compiled.append(options) or forward)
    shapes = dict.fromkeys(("TEM", "OM", "IM"), (16, 16, 3))
    network = build_network(shapes, family="cmusnet", encoder={"name": "small-cnn", "width": 8})
    pixels = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8)
    encoder = next(module for module in network.modules() if isinstance(module, Encoder))
    before = encoder(pixels)
    prepare(network, TrainSettings(compile=wanted), images)
    assert len(compiled) == (3 * len(encoder.blocks()) if compiles else 0)
    assert all(options["fullgraph"] for options in compiled)
    assert torch.equal(encoder(pixels), before)


def test_a_resumed_optimizer_has_the_layout_of_its_weights(tmp_path: Path) -> None:
    network = torch.nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), amsgrad=True)
    network(torch.randn(1, 4, 8, 8)).sum().backward()
    optimizer.step()
    checkpoint, progress = Checkpoint(tmp_path, "x"), TrainingProgress([CurvePoint(1, 0.1, 1.0, 1.0, None)])
    checkpoint.save(network, optimizer, progress)
    before = [moments["exp_avg"].clone() for moments in optimizer.state.values()]
    again = torch.optim.Adam(network.parameters(), amsgrad=True)
    checkpoint.load(network, again, print)
    for weight, moments, expected in zip(network.parameters(), again.state.values(), before, strict=True):
        assert torch.equal(moments["exp_avg"], expected)
        assert moments["max_exp_avg_sq"].stride() == weight.stride()
        assert float(moments["step"]) == 1
