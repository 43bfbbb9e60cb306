"""Training: learning, early stopping, resuming to the same bytes, and the stored curve."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nephroscale.errors import NephroscaleError
from nephroscale.models.weights import ModelCard, load_model
from nephroscale.training import epoch as passing
from nephroscale.training import fit as fitting
from nephroscale.training.data import BagSource, collate
from nephroscale.training.epoch import cosine_rate
from nephroscale.training.optimizer import make_optimizer
from nephroscale.training.settings import TrainSettings
from support.stored_features import Cohort
from support.training import train_fold, trained_files

MODEL: dict[str, Any] = {"family": "cmusnet", "hidden": 8, "dropout": 0.5}
TRAIN: dict[str, Any] = {
    "epochs": 4,
    "patience": 4,
    "batch_size": 4,
    "learning_rate": 1e-2,
    "final_learning_rate": 1e-3,
}
PIXEL_MODEL: dict[str, Any] = {**MODEL, "encoder": {"name": "small-cnn", "width": 8, "trainable": "all"}}


class Killed(Exception):  # noqa: N818
    pass


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("default")


def train(cohort: Cohort, folder: Path, model: dict | None = None, seed: int = 1, **changes: Any) -> dict[str, Any]:
    rest = {key: changes.pop(key) for key in ("log", "work", "device") if key in changes}
    return train_fold(cohort, folder, model or MODEL, {**TRAIN, **changes}, seed=seed, **rest)


@pytest.mark.slow
def test_it_learns(cohort: Cohort, tmp_path: Path) -> None:
    figures = train(cohort, tmp_path, epochs=30, patience=30)
    curve = json.loads((tmp_path / "out" / "curve.json").read_text())
    assert len(curve) == figures["epochs"] == 30
    assert curve[-1]["train_loss"] < curve[0]["train_loss"] / 2
    assert figures["validation_loss"] == min(point["validation_loss"] for point in curve)
    assert figures["validation_balanced_accuracy"] == 1
    assert (figures["train_patients"], figures["validation_patients"]) == (6, 3)
    assert sorted(trained_files(tmp_path)) == ["curve.json", "model.json", "weights.safetensors"]


def test_the_stored_curve(cohort: Cohort, tmp_path: Path) -> None:
    """Guards refactoring: the same features, settings and seed give the same losses, also on another CPU."""
    train(cohort, tmp_path, standardise=False)
    curve = json.loads((tmp_path / "out" / "curve.json").read_text())
    stored = json.loads((Path(__file__).parent / "data" / "curve.json").read_text())
    assert len(curve) == len(stored)
    for now, then in zip(curve, stored, strict=True):
        assert now == pytest.approx(then, rel=1e-4)


@pytest.mark.parametrize("family", ["cmusnet", "abmil"])
def test_the_scales_are_those_of_the_training_side_and_part_of_the_weights(
    family: str, cohort: Cohort, tmp_path: Path
) -> None:
    model: dict[str, Any] = {"family": family}
    train(cohort, tmp_path / "on", model, epochs=2)
    train(cohort, tmp_path / "off", model, epochs=2, standardise=False)
    network, card = load_model(tmp_path / "on" / "out")
    assert card.standardised
    assert network.standardisation is not None
    bags = BagSource(cohort.features, cohort.labels).open(cohort.ids[:6], card.modalities)
    for name, scale in network.standardisation.scales.items():
        cells = np.concatenate([bag.modalities[name].source.reshape(-1, 8) for bag in bags]).astype(np.float64)
        np.testing.assert_allclose(scale.mean, cells.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(scale.deviation, cells.std(axis=0), rtol=1e-6)

    plain, card = load_model(tmp_path / "off" / "out")
    assert not card.standardised
    assert plain.standardisation is None
    assert not [name for name in plain.state_dict() if "standardisation" in name]


@pytest.mark.slow
def test_pixels_are_not_standardised(pixel_cohort: Cohort, tmp_path: Path) -> None:
    train(pixel_cohort, tmp_path, PIXEL_MODEL, epochs=1)
    network, card = load_model(tmp_path / "out")
    assert network.standardisation is None
    assert not card.standardised


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["features", "pixels"])
def test_equal_seeds_give_equal_bytes(kind: str, cohort: Cohort, pixel_cohort: Cohort, tmp_path: Path) -> None:
    data, model = (cohort, MODEL) if kind == "features" else (pixel_cohort, PIXEL_MODEL)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.rand(3)  # earlier draws do not matter
        train(data, tmp_path / name, model, seed=seed, epochs=2)
    one, same, other = (trained_files(tmp_path / name) for name in "abc")
    assert one == same
    assert one["weights.safetensors"] != other["weights.safetensors"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["features", "pixels", "mhim-mil", "sc-mil"])
def test_killed_after_any_epoch_it_ends_with_the_same_bytes(
    kind: str, cohort: Cohort, pixel_cohort: Cohort, tmp_path: Path
) -> None:
    """These baselines keep more than weights: a teacher, and the fraction of the training that is done."""
    baseline: dict[str, Any] = {"family": kind, "embedding": [8]}
    data, model = {"features": (cohort, MODEL), "pixels": (pixel_cohort, PIXEL_MODEL)}.get(kind, (cohort, baseline))
    train(data, tmp_path / "whole", model)
    lines: list[str] = []
    for killed_after in range(1, 5):

        def kill(line: str, last: int = killed_after) -> None:
            if line.startswith(f"epoch {last} of"):
                raise Killed

        folder = tmp_path / f"killed-{killed_after}"
        with pytest.raises(Killed):
            train(data, folder, model, log=kill)
        assert not (folder / "out").exists()
        train(data, folder, model, log=lines.append)
        assert f"Resuming after epoch {killed_after}." in lines
        assert trained_files(folder) == trained_files(tmp_path / "whole")


@pytest.mark.slow
def test_killed_within_every_epoch_it_ends_with_the_same_bytes(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(cohort, tmp_path / "whole")
    validate = fitting.validate
    for _ in range(TRAIN["epochs"]):
        seen: list[int] = []

        def killed_in_the_second(*arguments: Any, seen: list[int] = seen, **rest: Any) -> tuple[float, float]:
            seen.append(1)
            if len(seen) == 2:
                raise Killed
            return validate(*arguments, **rest)

        monkeypatch.setattr(fitting, "validate", killed_in_the_second)
        try:
            train(cohort, tmp_path / "killed")
        except Killed:
            continue
    monkeypatch.setattr(fitting, "validate", validate)
    train(cohort, tmp_path / "killed")
    assert trained_files(tmp_path / "killed") == trained_files(tmp_path / "whole")


@pytest.mark.slow
def test_an_incomplete_damaged_or_foreign_checkpoint_is_ignored(cohort: Cohort, tmp_path: Path) -> None:
    train(cohort, tmp_path / "whole")
    whole = (tmp_path / "whole" / "work" / "checkpoint.safetensors").read_bytes()
    flipped = bytearray(whole)
    flipped[-5] ^= 1
    train(cohort, tmp_path / "foreign", seed=2)
    foreign = (tmp_path / "foreign" / "work" / "checkpoint.safetensors").read_bytes()
    for name, content, message in (
        ("torn", whole[: len(whole) // 2], "cannot be read"),
        ("empty", b"", "cannot be read"),
        ("damaged", bytes(flipped), "is damaged"),
        ("foreign", foreign, "of another training"),
    ):
        work = tmp_path / f"{name}-work"
        work.mkdir()
        (work / "checkpoint.safetensors").write_bytes(content)
        lines: list[str] = []
        train(cohort, tmp_path / f"after-{name}", work=work, log=lines.append)
        assert message in lines[0]
        assert "ignored" in lines[0]
        assert trained_files(tmp_path / f"after-{name}") == trained_files(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("change", ["name", "threads"])
def test_a_checkpoint_of_another_name_is_ignored(cohort: Cohort, tmp_path: Path, change: str) -> None:
    train_fold(cohort, tmp_path, MODEL, TRAIN, name="one")
    if change == "threads":
        torch.set_num_threads(2)
    lines: list[str] = []
    train_fold(cohort, tmp_path, MODEL, TRAIN, name="two" if change == "name" else "one", log=lines.append)
    assert "of another training" in lines[0]


@pytest.mark.slow
def test_it_stops_early_and_keeps_the_best_epoch(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([3.0, 2.0, 2.5, 2.0, 2.1, 1.0])
    states: list[dict[str, torch.Tensor]] = []

    def validate(network: torch.nn.Module, *_: Any, **__: Any) -> tuple[float, float]:
        states.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return next(losses), 0.5

    monkeypatch.setattr(fitting, "validate", validate)
    figures = train(cohort, tmp_path, epochs=20, patience=3)
    assert (figures["best_epoch"], figures["epochs"], figures["validation_loss"]) == (2, 5, 2.0)
    network, card = load_model(tmp_path / "out")
    assert card.best_epoch == 2
    torch.testing.assert_close(dict(network.state_dict()), states[1], rtol=0, atol=0)


@pytest.mark.slow
def test_test_patients_are_never_opened(cohort: Cohort, tmp_path: Path) -> None:
    train(cohort, tmp_path / "all")
    held_out = set(cohort.folds.folds[0].test)
    without = {patient: paths for patient, paths in cohort.features.items() if patient not in held_out}
    train_fold(cohort.data(features=without), tmp_path / "held", MODEL, TRAIN)
    assert trained_files(tmp_path / "all") == trained_files(tmp_path / "held")


def test_flips_only_while_training(cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    flip = passing.flip
    monkeypatch.setattr(passing, "flip", lambda batch, generator: seen.extend(batch.ids) or flip(batch, generator))
    train(cohort, tmp_path / "with", epochs=1)
    assert sorted(seen) == list(cohort.folds.folds[0].train)
    seen.clear()
    train(cohort, tmp_path / "without", epochs=1, random_flips=False)
    assert not seen


@pytest.mark.slow
def test_a_trained_network_is_read_back(pixel_cohort: Cohort, tmp_path: Path) -> None:
    model = {**PIXEL_MODEL, "modalities": ["IM", "TEM"], "train": {"epochs": 2, "max_tem_instances": 3}}
    figures = train(pixel_cohort, tmp_path, model)
    assert figures["epochs"] == 2, "a model's own settings of training take precedence"
    network, card = load_model(tmp_path / "out")
    assert card == ModelCard.from_json(card.to_json())
    assert card.classes == pixel_cohort.folds.classes
    assert card.shapes == {"TEM": (16, 16, 3), "IM": (16, 16, 3)}
    assert (card.modalities, card.max_tem_instances, card.reads_pixels) == (["TEM", "IM"], 3, True)
    assert not network.training
    batch = collate(BagSource(pixel_cohort.features).open(pixel_cohort.ids[9:], card.modalities))
    assert network(batch).logits["fusion"].shape == (3, 3)
    (tmp_path / "out" / "weights.safetensors").write_bytes(b"torn")
    with pytest.raises(NephroscaleError, match="not a trained network"):
        load_model(tmp_path / "out")


def test_outputs_hold_no_path(cohort: Cohort, tmp_path: Path) -> None:
    train(cohort, tmp_path)
    assert not any(str(tmp_path).encode() in content for content in trained_files(tmp_path).values())


def test_the_learning_rate_is_torchs_cosine_annealing() -> None:
    settings = TrainSettings(learning_rate=5e-5, final_learning_rate=5e-6, epochs=40)
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=5e-5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40, eta_min=5e-6)
    for epoch in range(40):
        assert cosine_rate(epoch, settings) == pytest.approx(schedule.get_last_lr()[0], rel=1e-9)
        (closed_form,) = schedule._get_closed_form_lr()
        assert cosine_rate(epoch, settings) == pytest.approx(closed_form, rel=1e-12)
        optimizer.step()
        schedule.step()


def test_the_optimizer_is_adam_with_amsgrad_over_trainable_parameters() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    network[0].requires_grad_(requires_grad=False)
    optimizer = make_optimizer(network, TrainSettings(learning_rate=3e-4, weight_decay=2e-3))
    assert isinstance(optimizer, torch.optim.Adam)
    assert optimizer.defaults["fused"]
    (group,) = optimizer.param_groups
    assert group["amsgrad"] is True
    assert (group["lr"], group["weight_decay"], group["betas"]) == (3e-4, 2e-3, (0.9, 0.999))
    assert [id(parameter) for parameter in group["params"]] == [id(parameter) for parameter in network[1].parameters()]


def test_faults(cohort: Cohort, pixel_cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="no key momentum"):
        train(cohort, tmp_path, {**MODEL, "train": {"momentum": 0.9}})
    with pytest.raises(NephroscaleError, match=r"needs pixels.*TEM"):
        train(cohort, tmp_path, PIXEL_MODEL)
    with pytest.raises(NephroscaleError, match="needs feature maps"):
        train(pixel_cohort, tmp_path)
    if not torch.cuda.is_available():
        with pytest.raises(NephroscaleError, match="no GPU"):
            train(cohort, tmp_path, device="cuda")


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_the_training(tmp_path: Path) -> None:
    cohort = Cohort(tmp_path / "cohort")
    chunk = next((cohort.features["P000"]["OM"] / "features" / "c").rglob("0/0/0/0"))
    array = np.frombuffer(chunk.read_bytes(), "<f4").copy()
    array[0] = np.nan
    chunk.write_bytes(array.tobytes())
    with pytest.raises(NephroscaleError, match="is not finite in epoch 1"):
        train(cohort, tmp_path, standardise=False)
    with pytest.raises(NephroscaleError, match="OM features of patient P000 are not finite"):
        train(cohort, tmp_path)
