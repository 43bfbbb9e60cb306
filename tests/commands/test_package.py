"""A packaged model predicts as the study does, and names no patient and no place."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from nephroscale.cli import main
from nephroscale.commands import package as commands
from nephroscale.engine.make_units import make_units
from nephroscale.engine.package import RUN
from nephroscale.engine.plan import Plan
from nephroscale.engine.prepass import settle
from nephroscale.stages.registry import stage_table
from nephroscale.store.receipts import settle_receipt
from support.small_study import PATIENTS, deposits_config, small_config, write_new_patient, write_study

pytestmark = pytest.mark.slow

FILES = ("predictions.csv", "members.csv", "instances.csv", "modalities.csv")
NEW = ("--patients", "new.csv", "--images", "new_images.csv", "--root", "raw")


def make(config, stages):
    """Make every unit of some stages in this process; return the folder of the predictions, if they are among them."""
    settle(Plan(config, stage_table()))
    plan = Plan(config, stage_table())
    for name in stages:
        for unit in plan.units(name):
            (receipt,) = make_units(plan, plan.stages[name], [unit])
            settle_receipt(plan.receipt_path(name, unit), plan.link_path(name, unit), receipt, plan.store)
            plan.set_receipt(name, unit, receipt)
    return plan.object_path("predict", f"cmusnet/{plan.batch}").absolute()


def readable(path):
    """The bytes of a file; of weights their header, without the numbers, in which any two letters occur by chance."""
    data = path.read_bytes()
    return data[: 8 + int.from_bytes(data[:8], "little")] if path.suffix == ".safetensors" else data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The small study and a new patient, before any run; what does not depend on the prior is made once."""
    folder = tmp_path_factory.mktemp("package") / "study"
    write_study(folder, deposits=True, outlined_im=True)
    write_new_patient(folder)
    return folder


@pytest.fixture(scope="module", params=["none", "deposits"])
def predicted(folder, request):
    """The small study, trained without or with a prior, and its predictions of a new patient: the folder of each."""
    study = small_config() | {"deposits": {"sites": []}}
    study["glomeruli"]["min_im_images"] = 1
    if request.param == "deposits":
        study |= {"tem": {**study["tem"], "prior": "deposits"}, "deposits": deposits_config()}
    new = {"patients": "new.csv", "images": "new_images.csv", "root": "raw"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "study.yaml").write_text(yaml.safe_dump(study))
        config = study | {"predict": new}
        stages = [name for name in stage_table() if name not in {"evaluate", "report", "audit"}]
        found = make(config, stages)
    return folder, found


def test_a_package_predicts_elsewhere_as_the_study_does(predicted, tmp_path, monkeypatch, capsys):
    study, here = predicted
    monkeypatch.chdir(study)
    frozen, elsewhere = tmp_path / "frozen", tmp_path / "elsewhere"
    assert main(["package", "cmusnet", str(frozen), "--configfile", "study.yaml"]) == 0
    assert "2 networks of cmusnet" in capsys.readouterr().out
    for stage in ("segmenter", "segmenter_im"):
        assert [path.name for path in (frozen / stage / "cohort").iterdir()] == ["weights.safetensors"]
    content = b"".join(readable(path) for path in frozen.rglob("*") if path.is_file())
    assert b"IgAN" in content
    assert not [name for name in [*(name for name, _, _ in PATIENTS), str(study)] if name.encode() in content]

    def run(command, *, cwd, check):
        """In place of Snakemake: the target is the last word of the command."""
        assert command[-2:] == ["--", "predict"]
        os.chdir(cwd)
        config = yaml.safe_load(Path(command[command.index("--configfile") + 1]).read_text())
        there = make(config, RUN)
        for name in FILES:
            assert (there / name).read_bytes() == (here / name).read_bytes(), name
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(commands, "subprocess", SimpleNamespace(run=run))
    assert main(["predict", "--model", str(frozen), *NEW, "--out", str(elsewhere)]) == 0
    row = (here / "predictions.csv").read_text()
    assert "40 nm per pixel; training images are 8 to 8" in row  # the ranges travel too
    assert (elsewhere / "results/register/N0.json").is_file()

    monkeypatch.chdir(study)
    (frozen / "temperature/cmusnet/fold0/temperature.json").write_text("{}")
    assert main(["predict", "--model", str(frozen), *NEW, "--out", str(tmp_path / "other")]) == 1
    assert "A file of the packaged model is missing or was changed." in capsys.readouterr().err


def test_faults_are_one_message(predicted, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(predicted[0])
    untrained = yaml.safe_dump(small_config() | {"models": {"tem-only": {"modalities": ["TEM"]}}})
    (tmp_path / "untrained.yaml").write_text(untrained)
    for arguments, message in (
        (["package", "swin", "out", "--configfile", "study.yaml"], "There is no model 'swin'"),
        (["package", "cmusnet", "raw", "--configfile", "study.yaml"], "This folder or file exists"),
        (
            ["package", "tem-only", "out", "--configfile", str(tmp_path / "untrained.yaml")],
            "The trained model is missing",
        ),
        (["predict", "--model", "raw", *NEW, "--out", "out"], "is not a packaged model"),
    ):
        assert main(arguments) == 1
        assert message in capsys.readouterr().err
    assert not Path("out").exists()
