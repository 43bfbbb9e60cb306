"""Every multiple-instance baseline, trained by the loop that trains CMUS-Net."""

import json
from pathlib import Path

import pytest
import torch

from nephroscale.models.mil.sc_mil import SCMIL
from nephroscale.models.registry import FAMILIES
from nephroscale.models.weights import load_model
from nephroscale.training.data import shapes_of
from nephroscale.training.epoch import train_epoch
from nephroscale.training.optimizer import make_optimizer
from nephroscale.training.settings import TrainSettings
from support.networks import build_network
from support.stored_features import Cohort
from support.training import train_fold, trained_files

pytestmark = pytest.mark.slow

MIL = sorted(family for family, module in FAMILIES.items() if ".mil." in module)
TRAIN = {"epochs": 12, "patience": 12, "batch_size": 6, "learning_rate": 1e-2, "final_learning_rate": 1e-3}


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("default")


@pytest.mark.parametrize("family", MIL)
def test_training_twice_gives_the_same_bytes_and_a_readable_model(family: str, cohort: Cohort, tmp_path: Path) -> None:
    model = {"family": family, "embedding": [16], "embedding_dropout": 0.1}
    for name in "ab":
        train_fold(cohort, tmp_path / name, model, TRAIN)
    files = trained_files(tmp_path / "a")
    assert files.keys() == {"weights.safetensors", "curve.json", "model.json"}
    assert files == trained_files(tmp_path / "b")
    curve = json.loads(files["curve.json"])
    assert min(point["validation_loss"] for point in curve) < curve[0]["validation_loss"]
    network, card = load_model(tmp_path / "a" / "out")
    assert card.settings.family == family
    assert not network.training


def test_a_network_knows_the_progress_of_the_training(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress: list[float] = []
    loss = SCMIL.loss
    monkeypatch.setattr(SCMIL, "loss", lambda self, *given: progress.append(self.progress) or loss(self, *given))
    settings = {**TRAIN, "epochs": 4, "patience": 4}
    train_fold(cohort, tmp_path, {"family": "sc-mil"}, settings)
    assert list(dict.fromkeys(progress)) == [0, 0.25, 0.5, 0.75]


def test_mhims_teacher_is_the_momentum_average_of_the_students(cohort: Cohort) -> None:
    bags = cohort.data().bags("train", ["TEM", "OM", "IM"])
    network = build_network(shapes_of(bags), family="mhim-mil", embedding=[8], masking={"momentum": 0.8})
    settings = TrainSettings.from_mapping({**TRAIN, "batch_size": 3})
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
