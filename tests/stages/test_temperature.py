"""The job that fits a temperature reads the validation predictions of all seeds, of the head that is reported."""

import json

import numpy as np

from nephroscale.cohort.fold_table import FILE, FoldSides, FoldTable
from nephroscale.evaluation.fitted_temperature import read_temperature
from nephroscale.evaluation.tables import Predictions, write_heads, write_predictions
from nephroscale.evaluation.temperature import fit_fold_temperature
from nephroscale.stages.temperature import STAGE, TemperatureSettings
from support.fake_job import FakeJob, accepted

CLASSES = ("I", "II", "III")


def test_a_job_fits_the_reported_head_over_all_seeds(tmp_path):
    patients = [f"P{i}" for i in range(6)]
    labels = np.array([0, 1, 2, 0, 1, 2])
    rng = np.random.default_rng(0)
    softmax, ordinal = rng.dirichlet((1, 1, 1), (2, 2, 6)).round(6)
    for seed in (0, 1):
        folder = tmp_path / f"train{seed}"
        folder.mkdir()
        write_predictions(folder / "validation.csv", Predictions(patients, labels, softmax[seed]), CLASSES)
        heads = {p: {"softmax": softmax[seed, i], "ordinal": ordinal[seed, i]} for i, p in enumerate(patients)}
        write_heads(folder / "validation_heads.csv", heads, CLASSES)
    first = FoldSides("0", ("P6",), tuple(patients), ("P7", "P8"))
    second = FoldSides("1", ("P7",), ("P8",), (*patients, "P6"))
    folds = FoldTable(CLASSES, {f"P{i}": i % 3 for i in range(9)}, (first, second))
    (tmp_path / FILE).write_text(json.dumps(folds.to_mapping()))
    expected = {"softmax": softmax, "ordinal": ordinal, "mean": (softmax + ordinal) / 2}
    for prediction, probabilities in expected.items():
        job = FakeJob(
            "all/fold0",
            settings=TemperatureSettings(0, prediction),
            rows=None,
            folds=[accepted("folds", "cohort", tmp_path)],
            weights=[accepted("train", f"all/fold0-seed{seed}", tmp_path / f"train{seed}") for seed in (0, 1)],
        )
        job.out = tmp_path / prediction
        figures = STAGE.make(job)
        fitted = read_temperature(job.out)
        assert fitted == fit_fold_temperature([Predictions(patients, labels, p) for p in probabilities], 3)
        assert figures["temperature"] == fitted.temperature
