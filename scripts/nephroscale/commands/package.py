"""The commands `package` and `predict`: a trained model that travels without its patients."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from nephroscale.commands.run import Commands, open_plan
from nephroscale.engine.package import CONFIG, Package
from nephroscale.engine.plan import Plan
from nephroscale.errors import NephroscaleError
from nephroscale.features.weights import digest_weights
from nephroscale.json_text import JSON, pretty_json
from nephroscale.places import workflow_folder
from nephroscale.store.digest import digest_file, digest_tree

#: The sections of the configuration that decide predictions.
SECTIONS = ("seed", "compute", "task", "om", "im", "glomeruli", "tem", "features", "folds", "train")
#: The files of a packaged artifact, by stage; other files of these objects name patients. None: the object is one file.
FILES = {
    "reference": None,
    "segmenter": ("weights.safetensors",),
    "segmenter_im": ("weights.safetensors",),
    "train": ("model.json", "weights.safetensors"),
    "temperature": ("temperature.json",),
    "deposit_priors": ("prior.json", "svm.json", "svm.safetensors"),
}
REFERENCE_FILE = "reference_file.json"


def add(commands: Commands) -> None:
    """Add the commands to the parser."""
    package = commands.add_parser(
        "package", help="write a trained model into a folder, without patient data", run=package_model
    )
    package.add_argument("model", metavar="MODEL", help="name of the model, as under `models` in the configuration")
    package.add_argument("out", type=Path, metavar="FOLDER", help="folder to create")
    predict = commands.add_parser(
        "predict", help="predict patients by a packaged model, without a study", run=predict_elsewhere
    )
    predict.add_argument("--model", type=Path, required=True, metavar="PACKAGE", help="folder made by `package`")
    predict.add_argument("--patients", type=Path, required=True, help="table of patients (CSV or xlsx)")
    predict.add_argument("--images", type=Path, required=True, help="table of their images")
    predict.add_argument("--root", type=Path, default=Path(), help="folder that the paths in --images are relative to")
    predict.add_argument("--out", type=Path, required=True, help="folder for results and store")
    predict.add_argument(
        "--weights",
        type=Path,
        action="append",
        default=[],
        help="file with the weights of an encoder; its digest assigns it to the encoder (repeatable)",
    )
    predict.add_argument("--cores", default="all", help="processor cores (default: all)")
    predict.add_argument("options", nargs="*", help="more options of Snakemake, after --")


def package_model(options: argparse.Namespace) -> None:
    """Write a trained model into a folder."""
    package = write_package(open_plan(options), options.model, options.out)
    size = sum(path.stat().st_size for path in package.folder.rglob("*") if path.is_file())
    print(f"{package.folder}: {len(package.units('train'))} networks of {options.model}, {size / 1e6:.1f} MB")
    for encoder in _encoders(package.settings()):
        if encoder.get("digest"):
            print(f"The weights of the encoder {encoder['name']} are not included; digest {encoder['digest']}.")


def write_package(plan: Plan, model: str, out: Path) -> Package:
    """Write what the predictions of a model need, without names of patients or paths.

    Parameters
    ----------
    plan
        Of the study, with the model trained.
    model
        Its name.
    out
        Folder to create.

    Raises
    ------
    NephroscaleError
        When there is no such model, `out` exists, an artifact is missing, or features are imported.
    """
    from nephroscale.stages.model_inputs import modalities_of, uses_prior
    from nephroscale.stages.predict import folds_of, members_of, study_ranges

    if model not in plan.config.models:
        raise NephroscaleError(
            f"There is no model {model!r}.",
            where="configuration, models",
            fix=f"Name one of {', '.join(plan.config.models)}.",
        )
    if out.exists():
        raise NephroscaleError("This folder or file exists.", where=str(out), fix="Name a new folder.")
    whole = plan.config.to_mapping()
    config = {**{name: whole[name] for name in SECTIONS}, "models": {model: whole["models"][model]}}
    if uses_prior(plan, model):
        config["deposits"] = whole["deposits"]
    for encoder in _encoders(config):
        if encoder.get("h5_folder"):
            raise NephroscaleError(
                "A model on imported features (h5) cannot be packaged: its encoder is not known.",
                where="configuration, features.encoders",
            )
        encoder["weights"] = None
    keys = [
        *((stage, "cohort") for stage in ("reference", "segmenter") if plan.units(stage)),
        *(("train", unit) for unit in members_of(plan, model)),
        *(("temperature", unit) for unit in folds_of(plan, model)),
    ]
    for stage in ("segmenter_im", *(["deposit_priors"] if uses_prior(plan, model) else [])):
        fitted = {unit: plan.receipt(stage, unit) for unit in plan.units(stage)}
        keys += [(stage, unit) for unit, receipt in fitted.items() if receipt is None or receipt.accepted]
    sources = {key: _current_object(plan, *key) for key in keys}
    out.mkdir(parents=True)
    artifacts = {}
    for (stage, unit), source in sources.items():
        target, files = out / stage / unit, FILES[stage]
        target.parent.mkdir(parents=True, exist_ok=True)
        if files is None:
            shutil.copyfile(source, target)
        else:
            target.mkdir()
            for name in files:
                shutil.copyfile(source / name, target / name)
        artifacts[f"{stage}/{unit}"] = digest_tree(target)[0]
    if config["om"]["reference_file"]:
        shutil.copyfile(config["om"]["reference_file"], out / REFERENCE_FILE)
        config["om"]["reference_file"] = REFERENCE_FILE
    (out / CONFIG).write_text(pretty_json(config), encoding="utf-8")
    modalities = modalities_of(plan, model)
    about: dict[str, JSON] = {"model": model, "classes": list(plan.cohort.classes), "modalities": list(modalities)}
    package = Package(out, about, artifacts, study_ranges(plan, modalities), digest_file(out / CONFIG))
    package.write()
    return package


def _current_object(plan: Plan, stage: str, unit: str) -> Path:
    """The object of a unit that is accepted and made by the present code, settings and tables."""
    receipt = plan.receipt(stage, unit)
    if receipt is None or not receipt.digest or plan.look_up(plan.stages[stage], unit) != receipt:
        raise NephroscaleError(
            "The trained model is missing or outdated.",
            where=f"{stage} of {unit}",
            fix="Run the workflow first, then package the model.",
        )
    return plan.store.object_path(receipt.digest)


def _encoders(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The settings of every encoder of a configuration, unchanged."""
    yield from config["features"]["encoders"].values()
    yield from (model["encoder"] for model in config["models"].values() if model.get("encoder"))
    if "deposits" in config:
        yield config["deposits"]["backbone"]


def predict_elsewhere(options: argparse.Namespace) -> int:
    """Predict patients with a packaged model: write a configuration, import the model, run the target `predict`."""
    package = Package.read(options.model.absolute())
    config = {**package.settings(), "results": "results", "store": {"path": "store"}}
    found = {digest_weights(path): str(path.absolute()) for path in options.weights}
    for encoder in _encoders(config):
        if digest := encoder.get("digest"):
            if digest not in found:
                raise NephroscaleError(
                    f"The encoder {encoder['name']} needs its weights, with the digest {digest}.",
                    fix="Name them with --weights PATH; a package does not contain them.",
                )
            encoder["weights"] = found[digest]
    if config["om"]["reference_file"]:
        config["om"]["reference_file"] = str(package.folder / REFERENCE_FILE)
    tables = {name: str(getattr(options, name).absolute()) for name in ("patients", "images", "root")}
    config |= {"data": tables, "predict": {**tables, "package": str(package.folder)}}
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    study = out / "study.yaml"
    study.write_text(
        yaml.safe_dump(json.loads(json.dumps(config)), sort_keys=False, allow_unicode=True), encoding="utf-8"
    )
    package.publish(_plan_in(out, options))
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(workflow_folder() / "Snakefile")),
        *("--configfile", study.name, *(["--config", *options.config] if options.config else [])),
        *("--cores", str(options.cores), *options.options, "--", "predict"),
    ]
    return subprocess.run(command, cwd=out, check=False).returncode  # noqa: S603


def _plan_in(out: Path, options: argparse.Namespace) -> Plan:
    """Open the plan of a folder's configuration, with its store and results below that folder."""
    return open_plan(
        argparse.Namespace(
            configfile=[out / "study.yaml"],
            config=[*(options.config or []), f"store={{path: {json.dumps(str(out / 'store'))}}}"],
        )
    )
