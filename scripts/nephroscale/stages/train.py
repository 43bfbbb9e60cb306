"""`train`: the weights of each model, fold and seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nephroscale.engine.stage import Need, Stage
from nephroscale.errors import NephroscaleError
from nephroscale.models.registry import modules_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nephroscale.engine.plan import Plan

#: Share of modalities dropped while training where patients may lack one and `train.modality_dropout` is null.
MODALITY_DROPOUT = 0.2


class Train(Stage):
    """One job a model, fold and seed. It depends on the fold's training and validation patients alone."""

    name = "train"
    rule = "train_model"
    pattern = "{model}/fold{fold}-seed{seed}"
    torch = True
    after = ("folds",)
    sides: tuple[str, ...] = ("train", "validation")

    def units(self, plan: Plan) -> list[str]:
        return [
            self.pattern.format(model=model, fold=fold, seed=seed)
            for model in plan.config["models"]
            for fold in range(plan.config["folds"]["count"])
            for seed in training_settings(plan, model)["seeds"]
        ]

    def needs(self, plan: Plan, unit: str) -> list[Need]:
        model, fold, _ = split(unit)
        table = plan.object_json("folds", "cohort", "folds.json")
        if table is None:
            return [Need("folds", "cohort")]
        patients = [patient for side in self.sides for patient in table["folds"][fold][side]]
        return [Need("folds", "cohort", part=f"fold{fold}.train"), *features_of(plan, model, patients)]

    def upstream(self, plan: Plan, unit: str) -> list[Need]:
        return [Need("folds", "cohort")]  # which waits for the features of all whom they divide

    def settings(self, plan: Plan, unit: str) -> Any:
        model, fold, seed = split(unit)
        settings = model_settings(plan, model)
        train = {k: v for k, v in training_settings(plan, model).items() if k != "seeds"}
        if train["modality_dropout"] is None:
            train["modality_dropout"] = MODALITY_DROPOUT if masks_missing(plan) else 0.0
        return {"model": settings, "train": train, "fold": fold, "seed": seed}

    def rows(self, plan: Plan, unit: str) -> Any:
        model, fold, _ = split(unit)
        table = plan.object_json("folds", "cohort", "folds.json") or {"folds": []}
        patients = [p for entry in table["folds"][fold : fold + 1] for side in self.sides for p in entry[side]]
        return negative_slots(plan, model, patients)

    def files(self, plan: Plan, unit: str) -> dict[str, str] | None:
        encoder = plan.config["models"][split(unit)[0]].get("encoder") or {}
        if encoder.get("weights") and not encoder.get("digest"):
            raise NephroscaleError(
                "The weights of an encoder are named without their digest.",
                where=f"configuration, models.{split(unit)[0]}.encoder",
                todo="Add `digest:`; `nephroscale weights digest PATH` prints it.",
            )
        return {}

    def modules(self, plan: Plan, unit: str) -> tuple[str, ...]:
        return tuple(modules_of(plan.config["models"][split(unit)[0]]))


def split(unit: str) -> tuple[str, int, int]:
    """Model, fold and seed of a unit."""
    model, _, rest = unit.partition("/fold")
    fold, _, seed = rest.partition("-seed")
    return model, int(fold), int(seed)


def training_settings(plan: Plan, model: str) -> dict[str, Any]:
    """The section `train` with what the model says otherwise."""
    return {**plan.config["train"], **plan.config["models"][model]["train"]}


def model_settings(plan: Plan, model: str) -> dict[str, Any]:
    """What decides a network: its entry of `models`; of an ordinal head nothing is said where classes have no order."""
    settings = {k: v for k, v in plan.config["models"][model].items() if k != "train"}
    if settings.get("encoder"):
        settings["encoder"] = {k: v for k, v in settings["encoder"].items() if k != "weights"}
    if not plan.config["task"]["ordinal"]:
        settings.pop("ordinal", None)
        if "loss_weights" in settings:
            settings["loss_weights"] = {k: v for k, v in settings["loss_weights"].items() if k != "ordinal"}
    return settings


def prediction_of(plan: Plan) -> dict[str, str]:
    """Which head is reported, where there may be two."""
    task = plan.config["task"]
    return {"prediction": task["prediction"]} if task["ordinal"] else {}


def features_of(plan: Plan, model: str, patients: Iterable[str]) -> list[Need]:
    """The bags that a model reads of some patients."""
    modalities = [m for m in plan.modalities if m in plan.config["models"][model]["modalities"]]
    optional = masks_missing(plan)
    return [Need("features", f"{p}-{m}", optional=optional) for p in patients for m in modalities]


def masks_missing(plan: Plan) -> bool:
    """Whether patients who lack a modality take part."""
    return plan.config["task"]["missing_modalities"] == "mask"


def negative_slots(plan: Plan, model: str, patients: Iterable[str]) -> dict[str, list[int]] | None:
    """Slots of the IM panel whose markers were found negative without a picture, by patient; None where there are none.

    They are findings of the table, so they reach training and prediction with its rows.
    """
    if "IM" not in plan.config["models"][model]["modalities"]:
        return None
    panel = plan.config["im"]["panel"]
    found = {
        patient: sorted({panel.index(n.marker) for n in plan.cohort.negatives_of(patient) if n.marker in panel})
        for patient in patients
    }
    return {patient: slots for patient, slots in sorted(found.items()) if slots} or None


STAGE = Train()
