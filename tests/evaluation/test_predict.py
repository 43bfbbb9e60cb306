import numpy as np
import pytest
import torch

from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.calibration_metrics import apply_temperature
from nephroscale.evaluation.inference import infer
from nephroscale.evaluation.predict import Case, predict_patients
from nephroscale.models.batch import MODALITIES
from nephroscale.models.weights import load_model
from nephroscale.training.data import BagSource, layouts_from
from support.ensemble import CLASSES, probabilities_of, read_table

torch.set_num_threads(1)


def make_cases(**missing):
    return {
        "N1": Case("N1", "", None, None, {}, []),
        "N2": Case("N2", "B1", "II", None, missing, ["image outside the training range"]),
    }


def test_the_prediction_is_the_mean_of_the_calibrated_members(ensemble, tmp_path):
    features, members = ensemble
    figures = predict_patients(members, make_cases(), features, CLASSES, tmp_path / "out")
    by_member = {(r["patient_id"], r["seed"]): r for r in read_table(tmp_path / "out/members.csv")}
    for row in read_table(tmp_path / "out/predictions.csv"):
        mine = [by_member[row["patient_id"], str(m.seed)] for m in members]
        calibrated = [
            apply_temperature(probabilities_of(r, "raw"), m.temperature) for r, m in zip(mine, members, strict=True)
        ]
        np.testing.assert_allclose(probabilities_of(row, "p"), np.mean(calibrated, axis=0), atol=1e-6)
        np.testing.assert_allclose(probabilities_of(row, "sd"), np.std(calibrated, axis=0), atol=1e-6)
        assert row["predicted"] == CLASSES[int(probabilities_of(row, "p").argmax())]
        agreeing = [r["predicted"] == row["predicted"] for r in mine]
        assert float(row["agreement"]) == pytest.approx(np.mean(agreeing))
    assert figures["patients"] == 2
    assert figures["warnings"] == {"N2": ["image outside the training range"]}


def test_every_member_reports_the_requested_head(ensemble, tmp_path):
    features, members = ensemble
    heads = {}
    for member in members:
        network, card = load_model(member.weights)
        for one in infer(network, BagSource(features).open(list(make_cases()), card.modalities)):
            mean = np.mean([one.heads["softmax"], one.heads["ordinal"]], axis=0)
            heads[one.bag.patient, str(member.seed)] = {**one.heads, "mean": mean}
    assert all(np.abs(one["softmax"] - one["ordinal"]).max() > 1e-2 for one in heads.values())
    for prediction in ("softmax", "ordinal", "mean"):
        predict_patients(members, make_cases(), features, CLASSES, tmp_path / prediction, prediction=prediction)
        rows = read_table(tmp_path / prediction / "members.csv")
        assert len(rows) == len(heads)
        for row in rows:
            expected = heads[row["patient_id"], row["seed"]][prediction]
            np.testing.assert_allclose(probabilities_of(row, "raw"), expected, atol=1e-6)
        for row in read_table(tmp_path / prediction / "predictions.csv"):
            mine = [heads[row["patient_id"], str(m.seed)][prediction] for m in members]
            calibrated = [apply_temperature(p, m.temperature) for p, m in zip(mine, members, strict=True)]
            np.testing.assert_allclose(probabilities_of(row, "p"), np.mean(calibrated, axis=0), atol=1e-6)


def test_each_modality_is_left_out_by_every_member(ensemble, tmp_path):
    features, members = ensemble
    predict_patients(members, make_cases(), features, CLASSES, tmp_path / "out")
    rows = read_table(tmp_path / "out/removed.csv")
    assert {(row["patient_id"], row["removed"]) for row in rows} == {(n, m) for n in ("N1", "N2") for m in MODALITIES}
    for row in rows:
        rest = {m: path for m, path in features[row["patient_id"]].items() if m != row["removed"]}
        expected = []
        for member in members:
            network, card = load_model(member.weights)
            source = BagSource({row["patient_id"]: rest}, lacking={row["patient_id"]: [row["removed"]]})
            (one,) = infer(network, source.open([row["patient_id"]], card.modalities), layouts_from(card))
            expected.append(apply_temperature(one.probabilities, member.temperature))
        np.testing.assert_allclose(probabilities_of(row, "p"), np.mean(expected, axis=0), atol=1e-6)


def test_instance_weights_are_shares_with_counts_of_members(ensemble, tmp_path):
    features, members = ensemble
    predict_patients(members, make_cases(), features, CLASSES, tmp_path / "out")
    rows = [r for r in read_table(tmp_path / "out/instances.csv") if r["patient_id"] == "N1" and r["modality"] == "TEM"]
    assert [r["image_id"] for r in rows] == [f"N1-TEM{i}" for i in range(4)]
    assert sum(float(r["weight"]) for r in rows) == pytest.approx(1, abs=1e-6)
    assert {r["drawn"] for r in rows} == {"2"}
    summary = {r["modality"]: r for r in read_table(tmp_path / "out/modalities.csv") if r["patient_id"] == "N1"}
    assert probabilities_of(summary["TEM"], "p").sum() == pytest.approx(1, abs=1e-6)
    assert 0 <= float(summary["OM"]["attention_spread"]) <= 1
    assert summary["TEM"]["attention_spread"] == ""


def test_a_case_without_a_required_modality_is_not_predicted(ensemble, tmp_path):
    features, members = ensemble
    figures = predict_patients(members, make_cases(IM="no image"), features, CLASSES, tmp_path / "out")
    assert figures["not_predicted"] == {"N2": "not predicted: the model requires IM"}
    row = read_table(tmp_path / "out/predictions.csv")[1]
    assert (row["patient_id"], row["predicted"], row["p_I"], row["members"]) == ("N2", "", "", "0")


def test_a_prediction_does_not_depend_on_other_cases(ensemble, tmp_path):
    features, members = ensemble
    predict_patients(members, make_cases(), features, CLASSES, tmp_path / "both")
    predict_patients(members, {"N1": make_cases()["N1"]}, features, CLASSES, tmp_path / "alone")
    assert read_table(tmp_path / "both/predictions.csv")[0] == read_table(tmp_path / "alone/predictions.csv")[0]


def test_networks_of_other_classes_are_refused(ensemble, tmp_path):
    features, members = ensemble
    with pytest.raises(NephroscaleError, match="trained for I, II, III"):
        predict_patients(members, make_cases(), features, ["A", "B", "C"], tmp_path / "out")
