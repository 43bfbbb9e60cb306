"""`temperature`: the temperature of each trained model, from its fold's validation patients alone."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from nephroscale.engine.stage import Need, PlanView, need
from nephroscale.stages.model_run import ModelRunStage, RunSettings, fold_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.engine.job import Job


class Temperature(ModelRunStage):
    """One job per model, fold and seed. It depends on what training depends on, and never on a test patient."""

    name = "temperature"
    rule = "fit_temperature"
    sides = ("validation",)

    @need("train")
    def weights(self, plan: PlanView, unit: str) -> Need:
        """The trained network."""
        return Need("train", unit)

    def make(self, job: Job) -> Mapping[str, object]:
        from nephroscale.evaluation.temperature import fit_fold_temperature

        settings = job.settings
        assert isinstance(settings, RunSettings)
        data = fold_data(job, settings.fold)
        fitted = fit_fold_temperature(data, job.input("weights").object, job.out, job.device, settings.prediction)
        return asdict(fitted)


STAGE = Temperature()
