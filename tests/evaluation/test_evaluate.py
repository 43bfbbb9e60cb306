import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from nephroscale.arrays import read_array, read_attributes, write_arrays
from nephroscale.cohort.fold_table import FoldSides, FoldTable
from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.deletion import read_deletions
from nephroscale.evaluation.evaluate import evaluate_model
from nephroscale.evaluation.tables import read_instances, read_predictions, read_removed
from nephroscale.models.registry import build
from nephroscale.models.weights import ModelCard, save_model
from nephroscale.training.fold_data import FoldData
from support.networks import ALL, model_settings

torch.set_num_threads(1)
CLASSES = ["IgAN", "MN", "LN"]
SHAPE = (3, 3, 8)
FOLD = FoldSides("0", ("P0", "P1", "P2"), ("P3", "P4"), ("P5", "P6", "P7"))
FOLDS = FoldTable(tuple(CLASSES), {f"P{i}": i % 3 for i in range(8)}, (FOLD,))


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


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    folder, counts = tmp_path_factory.mktemp("bags"), {"TEM": 5, "OM": 1, "IM": 1}
    return {
        patient: {
            m: write_bag(folder / f"{patient}-{m}", patient, m, n, 10 * i + len(m) + ord(m[0]))
            for m, n in counts.items()
        }
        for i, patient in enumerate(("P5", "P6", "P7"))
    }


@pytest.fixture
def features(bags):
    """The bag of each modality of each patient; a test may take some away."""
    return {patient: dict(of_patient) for patient, of_patient in bags.items()}


def trained(folder, *, family="cmusnet", modalities=ALL, max_tem_instances=10, **options):
    defaults = {"attention": True, "hidden": 8} if family == "cmusnet" else {}
    settings = model_settings(family, modalities, **(defaults | options))
    shapes = dict.fromkeys(modalities, SHAPE)
    torch.manual_seed(1)
    network = build(settings, shapes, 3)
    card = ModelCard(settings, shapes, 1, tuple(CLASSES), "0", 1, 1, max_tem_instances, 0.0)
    folder.mkdir()
    save_model(folder, network.state_dict(), card)
    return folder


def test_predictions_weights_and_attention_are_written(tmp_path, features):
    figures = evaluate_model(FoldData(FOLDS, "0", features), trained(tmp_path / "w"), tmp_path / "out")
    assert json.loads(json.dumps(figures))["patients"] == 3
    found = read_predictions(tmp_path / "out" / "predictions.csv", CLASSES)
    assert found.patients == ["P5", "P6", "P7"]
    assert found.labels.tolist() == [2, 0, 1]
    np.testing.assert_allclose(found.probabilities.sum(1), 1, atol=1e-6)
    assert figures["correct"] == (found.probabilities.argmax(1) == found.labels).sum()

    rows = read_instances(tmp_path / "out" / "instances.csv")
    assert len(rows) == 15
    for patient in found.patients:
        mine = [row for row in rows if row.patient_id == patient]
        assert [row.image_id for row in mine] == [f"{patient}-TEM{i}" for i in range(5)]
        (centre,) = [row for row in mine if row.centre]
        assert centre.kept
        assert (centre.weight, centre.distance) == (1, 0)
        assert all(row.weight == 0 for row in mine if not row.kept)

    attention = read_array(tmp_path / "out" / "attention", "OM")
    assert attention.shape == (3, 9, 9)
    assert read_attributes(tmp_path / "out" / "attention")["patients"] == found.patients
    assert not np.array_equal(attention, read_array(tmp_path / "out" / "attention", "IM"))


@pytest.mark.slow
def test_bytes_are_reproducible_and_patients_are_independent(tmp_path, features):
    weights = trained(tmp_path / "w")
    for name in ("one", "two"):
        evaluate_model(FoldData(FOLDS, "0", features), weights, tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)

    features["P6"]["OM"] = write_bag(tmp_path / "other", "P6", "OM", 1, 99)
    evaluate_model(FoldData(FOLDS, "0", features), weights, tmp_path / "three")
    one, three = (read_predictions(tmp_path / name / "predictions.csv", CLASSES) for name in ("one", "three"))
    assert (one.probabilities[[0, 2]] == three.probabilities[[0, 2]]).all()
    assert (one.probabilities[1] != three.probabilities[1]).any()


def test_each_modality_is_left_out_in_turn(tmp_path, features):
    lacking = replace(FOLDS, lacking={"P7": {"IM": "no image"}})
    del features["P7"]["IM"]
    evaluate_model(FoldData(lacking, "0", features), trained(tmp_path / "w"), tmp_path / "out")
    found = read_removed(tmp_path / "out" / "removed.csv", CLASSES)
    assert set(found) == {(p, m) for p in ("P5", "P6", "P7") for m in ALL} - {("P7", "IM")}
    del features["P6"]["TEM"]
    lacking = replace(FOLDS, lacking={"P7": {"IM": "no image"}, "P6": {"TEM": "no image"}})
    evaluate_model(FoldData(lacking, "0", features), tmp_path / "w", tmp_path / "less")
    less = read_predictions(tmp_path / "less" / "predictions.csv", CLASSES)
    np.testing.assert_allclose(found["P6", "TEM"], less.probabilities[1], atol=2e-8)


def test_attention_is_tested_by_deletion_where_there_is_attention(tmp_path, features):
    del features["P6"]["TEM"], features["P7"]["IM"]
    lacking = replace(FOLDS, lacking={"P7": {"IM": "no image"}, "P6": {"TEM": "no image"}})
    evaluate_model(FoldData(lacking, "0", features), trained(tmp_path / "w"), tmp_path / "out")
    rows = read_deletions(tmp_path / "out" / "deletion.csv")
    assert [(row.patient_id, row.modality) for row in rows] == [("P5", "OM"), ("P5", "IM"), ("P7", "OM")]
    found = read_predictions(tmp_path / "out" / "predictions.csv", CLASSES)
    assert [row.whole for row in rows] == [found.probabilities[i].max() for i in (0, 0, 2)]
    assert all((row.regions, row.deleted) == (9, 2) for row in rows)
    assert all(len({row.whole, row.highest, row.random}) == 3 for row in rows)

    evaluate_model(FoldData(lacking, "0", features), trained(tmp_path / "x", attention=False), tmp_path / "none")
    assert not (tmp_path / "none" / "deletion.csv").exists()


@pytest.mark.slow
def test_the_requested_head_is_reported(tmp_path, features):
    weights, found = trained(tmp_path / "w", ordinal=True), {}
    for prediction in ("softmax", "ordinal", "mean"):
        evaluate_model(FoldData(FOLDS, "0", features), weights, tmp_path / prediction, prediction=prediction)
        found[prediction] = read_predictions(tmp_path / prediction / "predictions.csv", CLASSES).probabilities
        heads = {"softmax": [], "ordinal": []}
        with (tmp_path / prediction / "heads.csv").open() as stream:
            for row in csv.DictReader(stream):
                heads[row["head"]].append([float(row[f"p_{name}"]) for name in CLASSES])
        expected = np.mean(list(heads.values()), axis=0) if prediction == "mean" else heads[prediction]
        np.testing.assert_allclose(found[prediction], expected, atol=2e-6)
    assert (np.abs(found["softmax"] - found["ordinal"]).max(1) > 1e-2).all()


def test_a_network_of_one_modality_has_no_instances_and_no_attention(tmp_path, features):
    evaluate_model(FoldData(FOLDS, "0", features), trained(tmp_path / "w", modalities=["OM"]), tmp_path / "out")
    assert read_instances(tmp_path / "out" / "instances.csv") == []
    assert list(read_attributes(tmp_path / "out" / "attention")) == ["patients"]
    assert [p.name for p in (tmp_path / "out" / "attention").iterdir()] == ["zarr.json"]


@pytest.mark.parametrize("family", ["abmil", "dsmil", "transmil"])
def test_weights_of_a_baseline_sum_to_one_over_all_modalities(tmp_path, features, family):
    weights = trained(tmp_path / "w", family=family, embedding=[8])
    evaluate_model(FoldData(FOLDS, "0", features), weights, tmp_path / "out")
    rows = read_instances(tmp_path / "out" / "instances.csv")
    assert len(rows) == 15
    assert all(row.kept and not row.centre and row.distance is None for row in rows)
    with (tmp_path / "out" / "pooling.csv").open() as stream:
        others = list(csv.DictReader(stream))
    assert [row["modality"] for row in others] == ["OM", "IM"] * 3
    for patient in ("P5", "P6", "P7"):
        mine = [row.weight for row in rows if row.patient_id == patient]
        mine += [float(row["weight"]) for row in others if row["patient_id"] == patient]
        assert len(mine) == 7
        assert sum(mine) == pytest.approx(1, abs=1e-6)
    assert [p.name for p in (tmp_path / "out" / "attention").iterdir()] == ["zarr.json"]


def test_subsampled_tem_images_are_reported(tmp_path, features):
    figures = evaluate_model(
        FoldData(FOLDS, "0", features), trained(tmp_path / "w", max_tem_instances=3), tmp_path / "out"
    )
    assert figures["thinned"] == {p: [3, 5] for p in ("P5", "P6", "P7")}
    rows = read_instances(tmp_path / "out" / "instances.csv")
    assert len(rows) == 9
    assert all(row.image_id == f"{row.patient_id}-TEM{row.index}" for row in rows)


def test_a_model_of_another_fold_or_other_classes_is_refused(tmp_path, features):
    weights = trained(tmp_path / "w")
    second = replace(FOLDS, folds=(FOLD, replace(FOLD, name="1")))
    with pytest.raises(NephroscaleError, match="fold 0"):
        evaluate_model(FoldData(second, "1", features), weights, tmp_path / "out")
    with pytest.raises(NephroscaleError, match="LN, MN"):
        evaluate_model(FoldData(replace(FOLDS, classes=("IgAN", "LN", "MN")), "0", features), weights, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_overlapping_sides_and_a_missing_modality_are_refused(tmp_path, features):
    weights = trained(tmp_path / "w")
    leak = replace(FOLDS, folds=(replace(FOLD, train=("P0", "P5")),))
    with pytest.raises(NephroscaleError, match="P5"):
        evaluate_model(FoldData(leak, "0", features), weights, tmp_path / "out")
    no_test = replace(FOLDS, folds=(replace(FOLD, test=()),))
    with pytest.raises(NephroscaleError, match="no test patients"):
        evaluate_model(FoldData(no_test, "0", features), weights, tmp_path / "out")
    del features["P7"]["IM"]
    with pytest.raises(NephroscaleError, match="P7 has no IM"):
        evaluate_model(FoldData(FOLDS, "0", features), weights, tmp_path / "out")
