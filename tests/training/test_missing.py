"""Patients who lack a modality, negative markers, and what training may do about imbalance."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.evaluation.evaluate import predict
from nephroscale.evaluation.tables import read_predictions
from nephroscale.models.batch import Batch
from nephroscale.models.registry import FAMILIES, build
from nephroscale.models.weights import load_model
from nephroscale.training import fit as fitting
from nephroscale.training.data import Bag, collate, layouts_from, layouts_of, load_bags, shapes_of
from nephroscale.training.epoch import make_optimizer, train_epoch, validate
from nephroscale.training.fit import fit
from nephroscale.training.missing import drop_modalities
from nephroscale.training.precision import class_counts, read_settings
from support.stored_features import Cohort

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


def without(cohort: Cohort) -> tuple[dict[str, Any], dict[str, dict[str, Path]]]:
    """Folds and features in which three patients lack something: one of each side of the fold."""
    features = {
        p: {m: f for m, f in paths.items() if m not in LACKING.get(p, {})} for p, paths in cohort.features.items()
    }
    return {**cohort.folds, "lacking": LACKING}, features


def train(cohort: Cohort, folder: Path, model: dict | None = None, **changes: Any) -> dict[str, Any]:
    folds, features = without(cohort)
    log, negatives = changes.pop("log", None), changes.pop("negatives", None)
    settings = {**TRAIN, **changes}
    return fit(
        folds, "0", features, model or MODEL, settings, 1, folder / "out", folder / "work", log=log, negatives=negatives
    )


def produced(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "out").iterdir())}


def test_they_are_trained_and_predicted_with_a_mask(cohort: Cohort, tmp_path: Path) -> None:
    figures = train(cohort, tmp_path, modality_dropout=0.3)
    assert (figures["train_patients"], figures["validation_patients"]) == (6, 3)
    assert "left_out" not in figures
    folds, features = without(cohort)
    predict(folds, "0", tmp_path / "out", features, tmp_path / "predicted")
    found = read_predictions(tmp_path / "predicted" / "predictions.csv", folds["classes"])
    assert found.patients == ["P009", "P010", "P011"]


@pytest.mark.parametrize("model", [{"variant": "released"}, {"modalities": ["IM"]}])
def test_who_is_no_case_for_a_network_is_left_out_by_name(cohort: Cohort, tmp_path: Path, model: dict) -> None:
    figures = train(cohort, tmp_path, {**MODEL, **model})
    everything = "variant" in model
    expected = {"P001": ["IM"], "P007": ["TEM"]} if everything else {"P001": ["IM"]}
    assert figures["left_out"] == expected
    assert (figures["train_patients"], figures["validation_patients"]) == (5, 2 if everything else 3)
    folds, features = without(cohort)
    figures = predict(folds, "0", tmp_path / "out", features, tmp_path / "predicted")
    assert figures["left_out"] == {"P010": ["OM", "IM"] if everything else ["IM"]}
    found = read_predictions(tmp_path / "predicted" / "predictions.csv", folds["classes"])
    assert found.patients == ["P009", "P011"]


def test_an_absence_that_the_folds_do_not_know_is_an_error(cohort: Cohort, tmp_path: Path) -> None:
    _, features = without(cohort)
    with pytest.raises(NephroscaleError, match="P001 has no IM"):
        fit(cohort.folds, "0", features, MODEL, TRAIN, 1, tmp_path / "out", tmp_path / "work")


def test_a_side_without_any_case_rejects_the_training(cohort: Cohort, tmp_path: Path) -> None:
    folds, features = without(cohort)
    folds = {**folds, "folds": [{**folds["folds"][0], "validation": ["P007"]}]}
    with pytest.raises(Rejected, match="no patient of the validation side"):
        fit(folds, "0", features, {**MODEL, "modalities": ["TEM"]}, TRAIN, 1, tmp_path / "out", tmp_path / "work")


@pytest.mark.parametrize("family", [name for name, module in FAMILIES.items() if ".fusion." in module])
def test_killed_and_resumed_it_ends_with_the_same_bytes(cohort: Cohort, tmp_path: Path, family: str) -> None:
    class Killed(Exception):  # noqa: N818
        pass

    def kill(line: str) -> None:
        if line.startswith("epoch 1 of"):
            raise Killed

    settings: dict[str, Any] = {"modality_dropout": 0.4, "loss": "focal", "class_weights": "balanced", "epochs": 2}
    model = {"family": family, "hidden": 8, "heads": 2}
    train(cohort, tmp_path / "whole", model, **settings)
    with pytest.raises(Killed):
        train(cohort, tmp_path / "killed", model, log=kill, **settings)
    train(cohort, tmp_path / "killed", model, **settings)
    assert produced(tmp_path / "killed") == produced(tmp_path / "whole")


def test_settings_of_the_loss_are_heeded(cohort: Cohort, tmp_path: Path) -> None:
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


def test_class_weights_come_from_the_training_side_alone(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[float]] = []
    make = fitting.make_criterion
    monkeypatch.setattr(
        fitting,
        "make_criterion",
        lambda *args, counts, **rest: seen.append(counts) or make(*args, counts=counts, **rest),
    )
    folds = {**cohort.folds, "folds": [{**cohort.folds["folds"][0], "train": ["P000", "P003", "P001"]}]}
    fit(folds, "0", cohort.features, MODEL, TRAIN, 1, tmp_path / "out", tmp_path / "work")
    assert seen == [[2, 1, 0]]


def test_balanced_classes_weigh_the_losses_of_training_and_validation(cohort: Cohort, tmp_path: Path) -> None:
    model: dict[str, Any] = {"family": "mean-pooling", "embedding": [8], "embedding_dropout": 0.0}
    train_ids, validation_ids = ["P000", "P001", "P003", "P005"], ["P006", "P007", "P008"]
    folds = {**cohort.folds, "folds": [{**cohort.folds["folds"][0], "train": train_ids}]}
    weights = {"none": [1.0, 1.0, 1.0], "balanced": [4 / (3 * 2), 4 / (3 * 1), 4 / (3 * 1)]}
    given = {
        name: collate(load_bags(cohort.features, ids, ALL, labels=cohort.labels))
        for name, ids in (("train_loss", train_ids), ("validation_loss", validation_ids))
    }
    shapes = dict.fromkeys(ALL, (2, 2, 8))
    for chosen, weight in weights.items():
        settings = {**TRAIN, "epochs": 1, "class_weights": chosen}
        fit(folds, "0", cohort.features, model, settings, 1, tmp_path / chosen, tmp_path / f"{chosen}-work")
        (point,) = json.loads((tmp_path / chosen / "curve.json").read_text())
        torch.manual_seed(1)
        networks = {"train_loss": build(model, shapes, 3), "validation_loss": load_model(tmp_path / chosen)[0]}
        for name, network in networks.items():  # one batch: the training's loss is that of the first weights
            logits = network(given[name]).logits["fusion"]
            loss = cross_entropy(logits, given[name].labels, torch.tensor(weight), reduction="sum")
            assert point[name] == pytest.approx(loss.item() / len(given[name]), rel=1e-4)


def test_who_lies_between_two_classes_counts_half_for_each_in_an_epoch(cohort: Cohort) -> None:
    second = {"P001": 2, "P005": 0}
    bags = load_bags(cohort.features, cohort.ids[:6], ALL, labels=cohort.labels, second=second)
    torch.manual_seed(1)
    model = {"family": "mean-pooling", "embedding": [8], "embedding_dropout": 0.0}
    network = build(model, shapes_of(bags), 3)
    settings = read_settings({**TRAIN, "batch": 6}, {})
    with torch.no_grad():
        log_p = torch.log_softmax(network(collate(bags)).logits["fusion"], 1)
    target = torch.tensor([[1, 0, 0], [0, 0.5, 0.5], [0, 0, 1], [1, 0, 0], [0, 1, 0], [0.5, 0, 0.5]])
    expected = pytest.approx(float(-(target * log_p).sum()) / 6, rel=1e-5)
    assert validate(network, bags, settings, 3, "cpu")[0] == expected
    learnt = train_epoch(network, make_optimizer(network, settings), bags, settings, seed=1, epoch=0, device="cpu")
    assert learnt == expected


def test_who_lies_between_two_classes_counts_half_for_each_in_the_weights() -> None:
    bags = [Bag("a", 0, {}), Bag("b", 0, {}, second=1), Bag("c", 1, {}), Bag("d", 3, {}, second=0), Bag("e", 0, {})]
    assert class_counts(bags, 4) == [3, 1.5, 0, 0.5]


def test_dropped_modalities_leave_everybody_one() -> None:
    masks = {name: torch.ones(200, 2, dtype=torch.bool) for name in ALL}
    masks["IM"][:50] = False
    features = {name: torch.ones(200, 2, 1, 1, 1) for name in ALL}
    batch = Batch.of(features, masks, torch.zeros(200, dtype=torch.long))
    for share in (0.3, 0.99):
        dropped = drop_modalities(batch, share, torch.Generator().manual_seed(0))
        has = torch.stack([dropped.mask[name].any(1) for name in ALL], 1)
        assert has.any(1).all()
        assert not has[:50, 2].any(), "nobody is given what they lack"
        for i, name in enumerate(ALL):
            assert torch.equal(dropped.features[name].any(-1).flatten(1).any(1), has[:, i])
            assert len(dropped.having[name]) == int(has[:, i].sum())
        kept = float(has[50:].float().mean())
        assert kept == pytest.approx(0.7 + 0.3**3 / 3 if share == 0.3 else 1 / 3, abs=0.05)
    again = drop_modalities(batch, 0.3, torch.Generator().manual_seed(0))
    assert torch.equal(again.mask["OM"], drop_modalities(batch, 0.3, torch.Generator().manual_seed(0)).mask["OM"])


def test_negative_markers_reach_the_network(cohort: Cohort, tmp_path: Path) -> None:
    negatives = {"P001": [0], "P010": [0]}
    figures = train(cohort, tmp_path, {**MODEL, "modalities": ["IM"]}, negatives=negatives)
    assert "left_out" not in figures, "a finding is something"
    folds, features = without(cohort)
    predict(folds, "0", tmp_path / "out", features, tmp_path / "with", negatives=negatives)
    assert read_predictions(tmp_path / "with" / "predictions.csv", folds["classes"]).patients == [
        "P009",
        "P010",
        "P011",
    ]
    rows = (tmp_path / "with" / "pooling.csv").read_text().splitlines()
    assert "P010,IM,,,0,negative,1.00000000" in rows
    figures = predict(folds, "0", tmp_path / "out", features, tmp_path / "none")
    assert figures["left_out"] == {"P010": ["IM"]}


def test_layouts_survive_the_trained_model(cohort: Cohort, tmp_path: Path) -> None:
    train(cohort, tmp_path)
    folds, features = without(cohort)
    bags = load_bags(features, cohort.ids, ALL, labels=cohort.labels, lacking={p: list(m) for p, m in LACKING.items()})
    _, metadata = load_model(tmp_path / "out")
    layouts = layouts_of(bags)
    assert layouts_from(json.loads(json.dumps(metadata))) == layouts
    alone = collate([bag for bag in bags if bag.patient == "P010"], layouts)
    assert list(alone.features) == ["TEM", "OM", "IM"]
    assert alone.having.keys() == {"OM", "IM"}
    assert folds["lacking"] == LACKING


def test_a_compiled_network_learns_the_same(cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda _module, **_: asked.append(True))
    train(cohort, tmp_path / "compiled", compile=True)
    train(cohort, tmp_path / "eager")
    assert asked == [True]
