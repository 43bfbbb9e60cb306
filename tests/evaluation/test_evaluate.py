import csv
import json

import numpy as np
import pytest
import torch

from nephroscale.arrays import read_array, read_attributes, write_arrays
from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.evaluate import predict
from nephroscale.evaluation.tables import read_instances, read_predictions
from nephroscale.models.registry import build
from nephroscale.models.weights import save_model

torch.set_num_threads(1)
CLASSES = ["IgAN", "MN", "LN"]
SHAPE = (3, 3, 8)
FOLDS = {
    "classes": CLASSES,
    "labels": {f"P{i}": i % 3 for i in range(8)},
    "excluded": {},
    "scheme": "stratified",
    "folds": [{"name": "0", "train": ["P0", "P1", "P2"], "validation": ["P3", "P4"], "test": ["P5", "P6", "P7"]}],
}


def write_bag(path, patient, modality, n, seed):
    rng = np.random.default_rng(seed)
    images = [f"{patient}-{modality}{i}" for i in range(n)]
    arrays = {
        "features": rng.normal(size=(n, *SHAPE)).astype(np.float32),
        "image": np.arange(n, dtype=np.int16),
        "slot": np.zeros(n, np.int8),
        "score": np.ones(n, np.float32),
        "position": np.zeros((n, 2), np.float32),
    }
    attributes = {"patient": patient, "modality": modality, "encoder": "texture", "images": images, "panel": ["IgG"]}
    write_arrays(path, arrays, attributes)
    return path


@pytest.fixture
def features(tmp_path):
    counts = {"TEM": 5, "OM": 1, "IM": 1}
    return {
        patient: {
            m: write_bag(tmp_path / f"{patient}-{m}", patient, m, n, 10 * i + len(m) + ord(m[0]))
            for m, n in counts.items()
        }
        for i, patient in enumerate(("P5", "P6", "P7"))
    }


def trained(folder, **changes):
    settings = {"family": "cmusnet", "modalities": ["TEM", "OM", "IM"], "attention": True, "hidden": 8, **changes}
    torch.manual_seed(1)
    network = build(settings, dict.fromkeys(settings["modalities"], SHAPE), 3)
    metadata = {
        "settings": settings,
        "shapes": {m: list(SHAPE) for m in settings["modalities"]},
        "classes": CLASSES,
        "modalities": settings["modalities"],
        "train": {"maximum_instances": 10, **settings.pop("train", {})},
        "fold": "0",
        "seed": 1,
    }
    folder.mkdir()
    save_model(folder, network.state_dict(), metadata)
    return folder


def test_predictions_weights_and_attention_of_the_test_patients(tmp_path, features):
    figures = predict(FOLDS, "0", trained(tmp_path / "w"), features, tmp_path / "out")
    assert json.loads(json.dumps(figures))["patients"] == 3
    found = read_predictions(tmp_path / "out" / "predictions.csv", CLASSES)
    assert found.patients == ["P5", "P6", "P7"]
    assert found.labels.tolist() == [2, 0, 1]
    np.testing.assert_allclose(found.probabilities.sum(1), 1, atol=1e-6)
    assert figures["correct"] == (found.probabilities.argmax(1) == found.labels).sum()

    rows = read_instances(tmp_path / "out" / "instances.csv")
    assert len(rows) == 15
    for patient in found.patients:
        mine = [row for row in rows if row["patient_id"] == patient]
        assert [row["image_id"] for row in mine] == [f"{patient}-TEM{i}" for i in range(5)]
        (centre,) = [row for row in mine if row["centre"]]
        assert centre["kept"]
        assert (centre["weight"], centre["distance"]) == (1, 0)
        assert all(row["weight"] == 0 for row in mine if not row["kept"])

    attention = read_array(tmp_path / "out" / "attention", "OM")
    assert attention.shape == (3, 9, 9)
    assert read_attributes(tmp_path / "out" / "attention")["patients"] == found.patients
    assert not np.array_equal(attention, read_array(tmp_path / "out" / "attention", "IM"))


def test_equal_inputs_give_equal_bytes_and_no_patient_moves_another(tmp_path, features):
    weights = trained(tmp_path / "w")
    for name in ("one", "two"):
        predict(FOLDS, "0", weights, features, tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)

    features["P6"]["OM"] = write_bag(tmp_path / "other", "P6", "OM", 1, 99)
    predict(FOLDS, "0", weights, features, tmp_path / "three")
    one, three = (read_predictions(tmp_path / name / "predictions.csv", CLASSES) for name in ("one", "three"))
    assert (one.probabilities[[0, 2]] == three.probabilities[[0, 2]]).all()
    assert (one.probabilities[1] != three.probabilities[1]).any()


def test_the_head_that_is_asked_for_is_reported(tmp_path, features):
    weights, found = trained(tmp_path / "w", ordinal=True), {}
    for prediction in ("softmax", "ordinal", "mean"):
        predict(FOLDS, "0", weights, features, tmp_path / prediction, prediction=prediction)
        found[prediction] = read_predictions(tmp_path / prediction / "predictions.csv", CLASSES).probabilities
        heads = {"softmax": [], "ordinal": []}
        with (tmp_path / prediction / "heads.csv").open() as stream:
            for row in csv.DictReader(stream):
                heads[row["head"]].append([float(row[f"p_{name}"]) for name in CLASSES])
        said = np.mean(list(heads.values()), axis=0) if prediction == "mean" else heads[prediction]
        np.testing.assert_allclose(found[prediction], said, atol=2e-6)
    assert (np.abs(found["softmax"] - found["ordinal"]).max(1) > 1e-2).all()


def test_a_network_of_one_modality_has_no_instances_and_no_attention(tmp_path, features):
    predict(FOLDS, "0", trained(tmp_path / "w", modalities=["OM"]), features, tmp_path / "out")
    assert read_instances(tmp_path / "out" / "instances.csv") == []
    assert list(read_attributes(tmp_path / "out" / "attention")) == ["patients"]
    assert [p.name for p in (tmp_path / "out" / "attention").iterdir()] == ["zarr.json"]


@pytest.mark.parametrize("family", ["abmil", "dsmil", "transmil"])
def test_a_rivals_weights_are_shares_of_the_bag_of_all_modalities(tmp_path, features, family):
    weights = trained(tmp_path / "w", family=family, embedding=[8])
    predict(FOLDS, "0", weights, features, tmp_path / "out")
    rows = read_instances(tmp_path / "out" / "instances.csv")
    assert len(rows) == 15
    assert all(row["kept"] and not row["centre"] and row["distance"] is None for row in rows)
    with (tmp_path / "out" / "pooling.csv").open() as stream:
        others = list(csv.DictReader(stream))
    assert [row["modality"] for row in others] == ["OM", "IM"] * 3
    for patient in ("P5", "P6", "P7"):
        mine = [float(row["weight"]) for row in [*rows, *others] if row["patient_id"] == patient]
        assert len(mine) == 7
        assert sum(mine) == pytest.approx(1, abs=1e-6)
    assert [p.name for p in (tmp_path / "out" / "attention").iterdir()] == ["zarr.json"]


def test_a_choice_among_many_images_is_the_one_of_training_and_reported(tmp_path, features):
    figures = predict(FOLDS, "0", trained(tmp_path / "w", train={"maximum_instances": 3}), features, tmp_path / "out")
    assert figures["thinned"] == {p: [3, 5] for p in ("P5", "P6", "P7")}
    rows = read_instances(tmp_path / "out" / "instances.csv")
    assert len(rows) == 9
    assert all(row["image_id"] == f"{row['patient_id']}-TEM{row['index']}" for row in rows)


def test_weights_of_another_fold_or_other_classes_are_refused(tmp_path, features):
    weights = trained(tmp_path / "w")
    second = {**FOLDS, "folds": [*FOLDS["folds"], {**FOLDS["folds"][0], "name": "1"}]}
    with pytest.raises(NephroscaleError, match="fold 0"):
        predict(second, "1", weights, features, tmp_path / "out")
    with pytest.raises(NephroscaleError, match="LN, MN"):
        predict({**FOLDS, "classes": ["IgAN", "LN", "MN"]}, "0", weights, features, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_overlap_of_the_sides_and_a_missing_modality_are_refused(tmp_path, features):
    weights = trained(tmp_path / "w")
    leak = {**FOLDS, "folds": [{**FOLDS["folds"][0], "train": ["P0", "P5"]}]}
    with pytest.raises(NephroscaleError, match="P5"):
        predict(leak, "0", weights, features, tmp_path / "out")
    nobody = {**FOLDS, "folds": [{**FOLDS["folds"][0], "test": []}]}
    with pytest.raises(NephroscaleError, match="nobody"):
        predict(nobody, "0", weights, features, tmp_path / "out")
    del features["P7"]["IM"]
    with pytest.raises(NephroscaleError, match="P7 has no IM"):
        predict(FOLDS, "0", weights, features, tmp_path / "out")


def test_predictions_of_other_classes_do_not_pass(tmp_path):
    (tmp_path / "p.csv").write_text("patient_id,label,predicted,p_A,p_B\nP1,A,A,0.9,0.1\n")
    assert read_predictions(tmp_path / "p.csv", ["A", "B"]).labels.tolist() == [0]
    for classes in (["A", "C"], ["B", "C"]):
        with pytest.raises(NephroscaleError, match=", ".join(classes)):
            read_predictions(tmp_path / "p.csv", classes)
