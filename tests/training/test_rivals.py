"""Every multiple-instance rival, trained by the loop that trains CMUS-Net."""

import json
from pathlib import Path

import pytest
import torch

from nephroscale.models.mil.sc_mil import SCMIL
from nephroscale.models.registry import FAMILIES, build
from nephroscale.models.weights import load_model
from nephroscale.training.data import load_bags, shapes_of
from nephroscale.training.epoch import make_optimizer, train_epoch
from nephroscale.training.fit import fit
from nephroscale.training.precision import read_settings
from support.stored_features import Cohort

MIL = sorted(family for family, module in FAMILIES.items() if ".mil." in module)
TRAIN = {"epochs": 12, "patience": 12, "batch": 6, "learning_rate": 1e-2, "final_learning_rate": 1e-3}


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("default")


@pytest.mark.parametrize("family", MIL)
def test_it_is_trained_twice_to_the_same_bytes_and_read_back(family: str, cohort: Cohort, tmp_path: Path) -> None:
    model = {"family": family, "embedding": [16], "embedding_dropout": 0.1}
    for name in "ab":
        fit(cohort.folds, "0", cohort.features, model, TRAIN, 1, tmp_path / name, tmp_path / f"{name}-work")
    for file in ("weights.safetensors", "curve.json", "model.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    curve = json.loads((tmp_path / "a" / "curve.json").read_text())
    assert min(point["validation_loss"] for point in curve) < curve[0]["validation_loss"]
    network, metadata = load_model(tmp_path / "a")
    assert metadata["settings"]["family"] == family
    assert not network.training


def test_a_network_is_told_what_share_of_the_training_is_done(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    loss = SCMIL.loss
    monkeypatch.setattr(SCMIL, "loss", lambda self, *given: told.append(self.progress) or loss(self, *given))
    settings = {**TRAIN, "epochs": 4, "patience": 4}
    fit(cohort.folds, "0", cohort.features, {"family": "sc-mil"}, settings, 1, tmp_path / "a", tmp_path / "work")
    assert list(dict.fromkeys(told)) == [0, 0.25, 0.5, 0.75]


def test_mhims_teacher_is_the_momentum_average_of_the_students(cohort: Cohort) -> None:
    bags = load_bags(cohort.features, cohort.ids[:6], ["TEM", "OM", "IM"], labels=cohort.labels)
    torch.manual_seed(1)
    network = build({"family": "mhim-mil", "embedding": [8], "masking": {"momentum": 0.8}}, shapes_of(bags), 3)
    settings = read_settings({**TRAIN, "batch": 3}, {})
    optimizer = make_optimizer(network, settings)
    begun = [parameter.clone() for parameter in network.teacher.parameters()]
    students: list[list[torch.Tensor]] = []
    optimizer.register_step_post_hook(
        lambda *_: students.append([parameter.detach().clone() for parameter in network.student.parameters()])
    )
    for epoch in range(2):
        train_epoch(network, optimizer, bags, settings, seed=1, epoch=epoch, device="cpu")
    assert len(students) == 4
    for place, (first, its) in enumerate(zip(begun, network.teacher.parameters(), strict=True)):
        expected = 0.8**4 * first + sum(0.2 * 0.8 ** (3 - step) * students[step][place] for step in range(4))
        torch.testing.assert_close(its, expected)
        assert not torch.equal(its, first)
