"""The ensemble on patients outside the folds: its arithmetic, its evidence, and what should make one careful."""

import csv
import json

import numpy as np
import pytest
import torch

from nephroscale.arrays import write_arrays
from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.calibration_metrics import BOUNDS, fit_temperature, negative_log_likelihood, temper
from nephroscale.evaluation.inference import infer
from nephroscale.evaluation.out_of_range import known_ranges, list_out_of_range
from nephroscale.evaluation.predict import Case, Member, predict_ensemble
from nephroscale.evaluation.temperature import calibrate, read_temperature
from nephroscale.models.registry import build
from nephroscale.models.weights import load_model, save_model
from nephroscale.training.data import load_bags

torch.set_num_threads(1)
CLASSES = ["I", "II", "III"]
SHAPE = (3, 3, 8)
FOLDS = {
    "classes": CLASSES,
    "labels": {f"P{i}": i % 3 for i in range(8)},
    "second": {"P3": 1},
    "folds": [{"name": "0", "train": ["P0", "P1"], "validation": ["P2", "P3", "P4"], "test": ["P5", "P6", "P7"]}],
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Bags of ten patients, and two networks with an ordinal head."""
    root = tmp_path_factory.mktemp("world")
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
        settings = {"family": "cmusnet", "hidden": 6, "ordinal": True}
        shapes = dict.fromkeys(("TEM", "OM", "IM"), SHAPE)
        network = build(settings, shapes, 3)
        folder = root / f"seed{seed}"
        folder.mkdir()
        metadata = {
            "settings": settings,
            "shapes": {name: list(shape) for name, shape in shapes.items()},
            "classes": CLASSES,
            "modalities": ["TEM", "OM", "IM"],
            "fold": "0",
            "seed": seed,
            "train": {"maximum_instances": 10},
        }
        save_model(folder, network.state_dict(), metadata)
        members.append(Member("0", seed, folder, temperature))
    return features, members


def table(path):
    with path.open() as stream:
        return list(csv.DictReader(stream))


def ask(**missing):
    return {
        "N1": Case("N1", "", None, None, {}, []),
        "N2": Case("N2", "B1", "II", None, missing, ["be careful"]),
    }


def chances(row, prefix):
    return np.array([float(row[f"{prefix}_{name}"]) for name in CLASSES])


def test_the_prediction_is_the_mean_of_tempered_members(world, tmp_path):
    features, members = world
    figures = predict_ensemble(members, ask(), features, CLASSES, tmp_path / "out")
    by_member = {(r["patient_id"], r["seed"]): r for r in table(tmp_path / "out/members.csv")}
    for row in table(tmp_path / "out/predictions.csv"):
        mine = [by_member[row["patient_id"], str(m.seed)] for m in members]
        tempered = [temper(chances(r, "raw"), m.temperature) for r, m in zip(mine, members, strict=True)]
        np.testing.assert_allclose(chances(row, "p"), np.mean(tempered, axis=0), atol=1e-6)
        np.testing.assert_allclose(chances(row, "sd"), np.std(tempered, axis=0), atol=1e-6)
        assert row["predicted"] == CLASSES[int(chances(row, "p").argmax())]
        agreeing = [r["predicted"] == row["predicted"] for r in mine]
        assert float(row["agreement"]) == pytest.approx(np.mean(agreeing))
    assert figures["patients"] == 2
    assert figures["cautioned"] == {"N2": ["be careful"]}


def test_every_member_reports_the_head_that_is_asked_for(world, tmp_path):
    features, members = world
    heads = {}
    for member in members:
        network, metadata = load_model(member.weights)
        for said in infer(network, load_bags(features, list(ask()), metadata["modalities"])):
            mean = np.mean([said.heads["softmax"], said.heads["ordinal"]], axis=0)
            heads[said.bag.patient, str(member.seed)] = {**said.heads, "mean": mean}
    assert all(np.abs(said["softmax"] - said["ordinal"]).max() > 1e-2 for said in heads.values())
    for prediction in ("softmax", "ordinal", "mean"):
        predict_ensemble(members, ask(), features, CLASSES, tmp_path / prediction, prediction=prediction)
        rows = table(tmp_path / prediction / "members.csv")
        assert len(rows) == len(heads)
        for row in rows:
            expected = heads[row["patient_id"], row["seed"]][prediction]
            np.testing.assert_allclose(chances(row, "raw"), expected, atol=1e-6)
        for row in table(tmp_path / prediction / "predictions.csv"):
            mine = [heads[row["patient_id"], str(m.seed)][prediction] for m in members]
            tempered = [temper(said, m.temperature) for said, m in zip(mine, members, strict=True)]
            np.testing.assert_allclose(chances(row, "p"), np.mean(tempered, axis=0), atol=1e-6)


def test_instances_tell_their_share_and_who_kept_them(world, tmp_path):
    features, members = world
    predict_ensemble(members, ask(), features, CLASSES, tmp_path / "out")
    rows = [r for r in table(tmp_path / "out/instances.csv") if r["patient_id"] == "N1" and r["modality"] == "TEM"]
    assert [r["image_id"] for r in rows] == [f"N1-TEM{i}" for i in range(4)]
    assert sum(float(r["weight"]) for r in rows) == pytest.approx(1, abs=1e-6)
    assert {r["drawn"] for r in rows} == {"2"}
    summary = {r["modality"]: r for r in table(tmp_path / "out/modalities.csv") if r["patient_id"] == "N1"}
    assert chances(summary["TEM"], "p").sum() == pytest.approx(1, abs=1e-6)
    assert 0 <= float(summary["OM"]["attention_spread"]) <= 1
    assert summary["TEM"]["attention_spread"] == ""


def test_who_lacks_what_the_network_never_learnt_to_miss_is_named_and_not_predicted(world, tmp_path):
    features, members = world
    figures = predict_ensemble(members, ask(IM="no image"), features, CLASSES, tmp_path / "out")
    assert figures["not_predicted"] == {"N2": "not predicted: the model needs IM"}
    row = table(tmp_path / "out/predictions.csv")[1]
    assert (row["patient_id"], row["predicted"], row["p_I"], row["members"]) == ("N2", "", "", "0")


def test_a_prediction_does_not_depend_on_who_else_is_asked(world, tmp_path):
    features, members = world
    predict_ensemble(members, ask(), features, CLASSES, tmp_path / "both")
    predict_ensemble(members, {"N1": ask()["N1"]}, features, CLASSES, tmp_path / "alone")
    assert table(tmp_path / "both/predictions.csv")[0] == table(tmp_path / "alone/predictions.csv")[0]


def test_networks_of_other_classes_are_refused(world, tmp_path):
    features, members = world
    with pytest.raises(NephroscaleError, match="trained for I, II, III"):
        predict_ensemble(members, ask(), features, ["A", "B", "C"], tmp_path / "out")


@pytest.mark.parametrize("prediction", ["softmax", "ordinal", "mean"])
def test_the_temperature_is_fitted_without_opening_a_test_patient(world, tmp_path, prediction):
    features, members = world
    seen = {patient: features[patient] for patient in ("P2", "P3", "P4")}  # a test patient's bag would be an error
    weights = members[0].weights
    figures = calibrate(FOLDS, "0", weights, seen, tmp_path / "out", prediction=prediction)
    assert figures["patients"] == 3
    assert figures["nll_after"] <= figures["nll_before"]
    assert read_temperature(tmp_path / "out") == figures["temperature"]
    assert json.loads((tmp_path / "out/calibration.json").read_text()) == figures
    assert [r["second"] for r in table(tmp_path / "out/validation.csv")] == ["", "II", ""]


def test_the_temperature_counts_a_patient_between_two_classes_half_for_each(world, tmp_path):
    features, members = world
    network, metadata = load_model(members[0].weights)
    (said,) = infer(network, load_bags(features, ["P3"], metadata["modalities"]))
    likely, unlikely = int(said.probabilities.argmax()), int(said.probabilities.argmin())
    alone = {**FOLDS["folds"][0], "validation": ["P3"]}
    folds = {**FOLDS, "labels": {**FOLDS["labels"], "P3": likely}, "folds": [alone]}
    found = {}
    for name, second, target in (("sure", {}, [likely]), ("half", {"P3": unlikely}, [likely, unlikely])):
        targets = np.eye(3)[target].mean(axis=0)[None]
        figures = calibrate({**folds, "second": second}, "0", members[0].weights, features, tmp_path / name)
        found[name] = figures["temperature"]
        assert found[name] == pytest.approx(fit_temperature(said.probabilities[None], targets), abs=1e-4)
        nll = negative_log_likelihood(said.probabilities[None], targets)
        assert figures["nll_before"] == pytest.approx(nll, abs=1e-5)
    assert found["sure"] == BOUNDS[0]
    assert found["half"] > 2 * BOUNDS[0]


def facts(value, width=1000, source="table"):
    return {"status": "accepted", "width": width, "scale": {"value": value, "source": source}}


RANGES = known_ranges([("TEM", facts(6.0)), ("TEM", facts(9.0)), ("OM", facts(0.5)), ("TEM", {"status": "rejected"})])


def test_what_the_networks_were_used_to():
    assert RANGES == {"TEM": {"scale": (6.0, 9.0), "field": (6.0, 9.0)}, "OM": {"scale": (0.5, 0.5)}}


@pytest.mark.parametrize(
    ("images", "told"),
    [
        ({"A": ("TEM", facts(8.0))}, []),
        ({"A": ("TEM", facts(30.0, 250))}, ["A is 30 nm per pixel; the networks were trained on 6 to 9"]),
        ({"A": ("TEM", facts(8.0, 4000))}, ["A is 32 µm wide; the networks were trained on 6 to 9"]),
        ({"A": ("OM", facts(2.0))}, ["A is 2 µm per pixel; the networks were trained on 0.5 to 0.5"]),
        ({"A": ("OM", facts(2.0, source="whole"))}, []),
        ({"A": ("TEM", {"status": "accepted", "scale": None, "width": 9})}, ["A has no known scale"]),
        ({"A": ("TEM", {"status": "rejected", "reason": "cut off"})}, ["A was rejected: cut off"]),
    ],
)
def test_unusual_scales_are_told(images, told):
    assert list_out_of_range({}, images, RANGES, []) == told


def test_missing_modalities_and_untimed_fluorescence_are_told():
    found = list_out_of_range({"OM": "no slide"}, {}, RANGES, ["X-IgG"])
    assert found[0] == "OM is missing: no slide"
    assert found[1].startswith("X-IgG is pattern-only")
