"""Missing modalities, negative markers, and settings against class imbalance."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.evaluation.evaluate import evaluate_model
from nephroscale.evaluation.tables import read_predictions
from nephroscale.models.batch import Batch
from nephroscale.models.registry import FAMILIES, config_of
from nephroscale.models.weights import load_model
from nephroscale.training import fit as fitting
from nephroscale.training.data import Bag, class_counts, collate, layouts_from, layouts_of, shapes_of
from nephroscale.training.epoch import train_epoch, validate
from nephroscale.training.fold_data import FoldData
from nephroscale.training.missing import drop_modalities
from nephroscale.training.optimizer import make_optimizer
from nephroscale.training.settings import TrainSettings
from support.networks import build_network
from support.stored_features import Cohort
from support.training import train_fold, trained_files, with_sides

ALL = ("TEM", "OM", "IM")
MODEL: dict[str, Any] = {"family": "cmusnet", "hidden": 8}
TRAIN: dict[str, Any] = {"epochs": 3, "patience": 3, "learning_rate": 1e-2, "final_learning_rate": 1e-3}
LACKING = {"P001": {"IM": "no slide"}, "P007": {"TEM": "no TEM"}, "P010": {"IM": "no slide", "OM": "no slide"}}


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("default")


def without(cohort: Cohort, **changes: Any) -> FoldData:
    """A fold in which three patients lack a modality: one on each side."""
    features = {
        p: {m: f for m, f in paths.items() if m not in LACKING.get(p, {})} for p, paths in cohort.features.items()
    }
    return cohort.data(folds=replace(cohort.folds, lacking=LACKING), features=features, **changes)


def predict_test_side(data: FoldData, folder: Path, name: str, **rest: Any) -> dict[str, Any]:
    return evaluate_model(data, folder / "out", folder / name, **rest)


def train(cohort: Cohort, folder: Path, model: dict | None = None, **changes: Any) -> dict[str, Any]:
    log, negatives = changes.pop("log", print), changes.pop("negatives", {})
    return train_fold(without(cohort, negatives=negatives), folder, model or MODEL, {**TRAIN, **changes}, log=log)


def test_patients_with_missing_modalities_are_trained_and_predicted(cohort: Cohort, tmp_path: Path) -> None:
    figures = train(cohort, tmp_path, modality_dropout=0.3)
    assert (figures["train_patients"], figures["validation_patients"]) == (6, 3)
    assert "left_out" not in figures
    predict_test_side(without(cohort), tmp_path, "predicted")
    found = read_predictions(tmp_path / "predicted" / "predictions.csv", list(cohort.folds.classes))
    assert found.patients == ["P009", "P010", "P011"]


@pytest.mark.parametrize("model", [{"variant": "released"}, {"modalities": ["IM"]}])
def test_patients_that_a_network_cannot_use_are_listed(cohort: Cohort, tmp_path: Path, model: dict) -> None:
    figures = train(cohort, tmp_path, {**MODEL, **model})
    everything = "variant" in model
    expected = {"P001": ["IM"], "P007": ["TEM"]} if everything else {"P001": ["IM"]}
    assert figures["left_out"] == expected
    assert (figures["train_patients"], figures["validation_patients"]) == (5, 2 if everything else 3)
    figures = predict_test_side(without(cohort), tmp_path, "predicted")
    assert figures["left_out"] == {"P010": ["OM", "IM"] if everything else ["IM"]}
    found = read_predictions(tmp_path / "predicted" / "predictions.csv", list(cohort.folds.classes))
    assert found.patients == ["P009", "P011"]


def test_an_undeclared_missing_modality_is_an_error(cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(NephroscaleError, match="P001 has no IM"):
        train_fold(replace(without(cohort), folds=cohort.folds), tmp_path, MODEL, TRAIN)


def test_a_side_without_any_case_rejects_the_training(cohort: Cohort, tmp_path: Path) -> None:
    data = with_sides(without(cohort), validation=["P007"])
    with pytest.raises(Rejected, match="no validation patient has all modalities"):
        train_fold(data, tmp_path, {**MODEL, "modalities": ["TEM"]}, TRAIN)


@pytest.mark.slow
@pytest.mark.parametrize("family", [name for name, module in FAMILIES.items() if ".fusion." in module])
def test_killed_and_resumed_it_ends_with_the_same_bytes(cohort: Cohort, tmp_path: Path, family: str) -> None:
    class Killed(Exception):  # noqa: N818
        pass

    def kill(line: str) -> None:
        if line.startswith("epoch 1 of"):
            raise Killed

    settings: dict[str, Any] = {"modality_dropout": 0.4, "loss": "focal", "class_weights": "balanced", "epochs": 2}
    heads = {"heads": 2} if "heads" in config_of(family).schema()["properties"] else {}
    model = {"family": family, "hidden": 8, **heads}
    train(cohort, tmp_path / "whole", model, **settings)
    with pytest.raises(Killed):
        train(cohort, tmp_path / "killed", model, log=kill, **settings)
    train(cohort, tmp_path / "killed", model, **settings)
    assert trained_files(tmp_path / "killed") == trained_files(tmp_path / "whole")


@pytest.mark.slow
def test_settings_of_the_loss_take_effect(cohort: Cohort, tmp_path: Path) -> None:
    curves = {}
    for name, changes in (
        ("plain", {}),
        ("focal", {"loss": "focal"}),
        ("dropout", {"modality_dropout": 0.5}),
        ("bf16", {"precision": "bfloat16"}),
    ):
        train(cohort, tmp_path / name, **changes)
        curves[name] = (tmp_path / name / "out" / "curve.json").read_text()
    assert len(set(curves.values())) == 4


def test_class_weights_come_from_training_patients_only(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[float]] = []
    make = fitting.make_criterion
    monkeypatch.setattr(
        fitting,
        "make_criterion",
        lambda *args, counts, **rest: seen.append(counts) or make(*args, counts=counts, **rest),
    )
    train_fold(with_sides(cohort.data(), train=["P000", "P003", "P001"]), tmp_path, MODEL, TRAIN)
    assert seen == [[2, 1, 0]]


def test_balanced_classes_weigh_the_losses_of_training_and_validation(cohort: Cohort, tmp_path: Path) -> None:
    model: dict[str, Any] = {"family": "mean-pooling", "embedding": [8], "embedding_dropout": 0.0}
    train_ids = ["P000", "P001", "P003", "P005"]
    data = with_sides(cohort.data(), train=train_ids)
    weights = {"none": [1.0, 1.0, 1.0], "balanced": [4 / (3 * 2), 4 / (3 * 1), 4 / (3 * 1)]}
    given = {
        name: collate(data.bags(side, ALL))
        for name, side in (("train_loss", "train"), ("validation_loss", "validation"))
    }
    shapes = dict.fromkeys(ALL, (2, 2, 8))
    for chosen, weight in weights.items():
        settings = {**TRAIN, "epochs": 1, "class_weights": chosen, "standardise": False}
        train_fold(data, tmp_path / chosen, model, settings)
        trained = tmp_path / chosen / "out"
        (point,) = json.loads((trained / "curve.json").read_text())
        networks = {"train_loss": build_network(shapes, **model), "validation_loss": load_model(trained)[0]}
        for name, network in networks.items():  # with one batch, the training loss is that of the initial weights
            logits = network(given[name]).logits["fusion"]
            loss = cross_entropy(logits, given[name].labels, torch.tensor(weight), reduction="sum")
            assert point[name] == pytest.approx(loss.item() / len(given[name]), rel=1e-4)


def test_a_soft_label_counts_half_for_each_class_in_an_epoch(cohort: Cohort) -> None:
    folds = replace(cohort.folds, second={"P001": 2, "P005": 0})
    bags = cohort.data(folds=folds).bags("train", ALL)
    network = build_network(shapes_of(bags), family="mean-pooling", embedding=[8], embedding_dropout=0.0)
    settings = TrainSettings.from_mapping({**TRAIN, "batch_size": 6})
    with torch.no_grad():
        log_p = torch.log_softmax(network(collate(bags)).logits["fusion"], 1)
    target = torch.tensor([[1, 0, 0], [0, 0.5, 0.5], [0, 0, 1], [1, 0, 0], [0, 1, 0], [0.5, 0, 0.5]])
    expected = pytest.approx(float(-(target * log_p).sum()) / 6, rel=1e-5)
    assert validate(network, bags, settings)[0] == expected
    learnt = train_epoch(network, make_optimizer(network, settings), bags, settings, seed=1, epoch=0, device="cpu")
    assert learnt == expected


def test_a_soft_label_counts_half_for_each_class_in_the_weights() -> None:
    bags = [Bag("a", 0, {}), Bag("b", 0, {}, second=1), Bag("c", 1, {}), Bag("d", 3, {}, second=0), Bag("e", 0, {})]
    assert class_counts(bags, 4) == [3, 1.5, 0, 0.5]


def test_modality_dropout_keeps_one_modality_of_each_patient() -> None:
    masks = {name: torch.ones(200, 2, dtype=torch.bool) for name in ALL}
    masks["IM"][:50] = False
    features = {name: torch.ones(200, 2, 1, 1, 1) for name in ALL}
    batch = Batch.of(features, masks, torch.zeros(200, dtype=torch.long))
    for share in (0.3, 0.99):
        dropped = drop_modalities(batch, share, torch.Generator().manual_seed(0))
        has = torch.stack([dropped.mask[name].any(1) for name in ALL], 1)
        assert has.any(1).all()
        assert not has[:50, 2].any(), "a missing modality stays missing"
        for i, name in enumerate(ALL):
            assert torch.equal(dropped.features[name].any(-1).flatten(1).any(1), has[:, i])
            assert torch.equal(dropped.present(name), has[:, i])
        kept = float(has[50:].float().mean())
        assert kept == pytest.approx(0.7 + 0.3**3 / 3 if share == 0.3 else 1 / 3, abs=0.05)
    again = drop_modalities(batch, 0.3, torch.Generator().manual_seed(0))
    assert torch.equal(again.mask["OM"], drop_modalities(batch, 0.3, torch.Generator().manual_seed(0)).mask["OM"])


def test_negative_markers_reach_the_network(cohort: Cohort, tmp_path: Path) -> None:
    negatives = {"P001": [0], "P010": [0]}
    figures = train(cohort, tmp_path, {**MODEL, "modalities": ["IM"]}, negatives=negatives)
    assert "left_out" not in figures, "a finding is something"
    predict_test_side(without(cohort, negatives=negatives), tmp_path, "with")
    assert read_predictions(tmp_path / "with" / "predictions.csv", list(cohort.folds.classes)).patients == [
        "P009",
        "P010",
        "P011",
    ]
    rows = (tmp_path / "with" / "pooling.csv").read_text().splitlines()
    assert "P010,IM,,,0,negative,1.00000000" in rows
    figures = predict_test_side(without(cohort), tmp_path, "none")
    assert figures["left_out"] == {"P010": ["IM"]}


def test_layouts_survive_the_trained_model(cohort: Cohort, tmp_path: Path) -> None:
    train(cohort, tmp_path)
    data = without(cohort)
    bags = [bag for side in ("train", "validation", "test") for bag in data.bags(side, ALL)]
    _, card = load_model(tmp_path / "out")
    layouts = layouts_of(bags)
    assert layouts_from(card) == layouts
    alone = collate([bag for bag in bags if bag.patient == "P010"], layouts)
    assert list(alone.features) == ["TEM", "OM", "IM"]
    assert alone.lacking == ("OM", "IM")


@pytest.mark.parametrize("lost", ALL)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_fold_that_trains_without_a_modality_is_rejected_with_a_reason(
    cohort: Cohort, tmp_path: Path, family: str, lost: str
) -> None:
    for without in (cohort.ids[:6], cohort.ids[:9], cohort.ids):  # the training side, validation too, everybody
        lacking = {patient: {lost: "no image"} for patient in without}
        features = {
            p: {m: f for m, f in paths.items() if m not in lacking.get(p, {})} for p, paths in cohort.features.items()
        }
        folds = replace(cohort.folds, lacking=lacking)
        data = cohort.data(folds=folds, features=features, negatives={"P000": (0,)})
        with pytest.raises(Rejected, match=f"no training patient has {lost} features"):
            train_fold(data, tmp_path, {"family": family}, TRAIN)
        assert not (tmp_path / "out").exists()
