"""The priors of TEM images, for the stages whose networks use them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nephroscale.engine.stage import Need
from nephroscale.features.weights import require_digest
from nephroscale.stages.model_inputs import uses_prior

if TYPE_CHECKING:
    from pathlib import Path

    from nephroscale.engine.job import Job
    from nephroscale.engine.stage import PlanView, Stage
    from nephroscale.training.tem_priors import TemPriors

#: Imported by name: without a prior, no code on deposits is in the recipes of the diagnosis.
MODULE = "nephroscale.deposits.priors"


def prior_of(plan: PlanView, model: str, fold: int) -> Need | None:
    """The priors of a fold, if a model uses them; absent if they could not be fitted."""
    return Need("deposit_priors", f"fold{fold}", optional=True) if uses_prior(plan, model) else None


def after_without_priors(stage: Stage, plan: PlanView) -> tuple[str, ...]:
    """The stages that a stage reads from with this configuration, which may have no prior."""
    left_out = set() if plan.config.tem.prior == "deposits" else {"deposit_priors"}
    return tuple(name for name in stage.after if name not in left_out)


def prior_modules(plan: PlanView, model: str) -> tuple[str, ...]:
    """The modules that give the priors of patients whom no SVM saw."""
    return (MODULE, *backbone_modules(plan)) if uses_prior(plan, model) else ()


def backbone_modules(plan: PlanView) -> tuple[str, ...]:
    """The module of the network on deposits that is not imported by name."""
    plain = plan.config.deposits.backbone.name == "efficientnet-lite0"
    return () if plain else ("nephroscale.features.encoders.huggingface",)


def backbone_files(plan: PlanView) -> dict[str, str]:
    """No file of the network on deposits but its weights, which the settings name by their digest: checked here."""
    backbone = plan.config.deposits.backbone
    require_digest(backbone.weights, backbone.digest, where="deposits.backbone")
    return {}


def predicted_priors(job: Job[Any], folder: Path) -> TemPriors:
    """The priors of the images under a job's input `tem`, by the SVM in a folder."""
    bags = {each.unit: each.path for each in job.inputs("tem") if each.path}
    weights = job.plan.config.deposits.backbone.weights
    found: TemPriors = import_module(MODULE).predict_priors(folder, bags, weights, device=job.device)
    return found
