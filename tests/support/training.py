"""Training on the small cohort, as the tests of training and evaluation do it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nephroscale.training.checkpoint import Checkpoint
from nephroscale.training.fit import fit
from nephroscale.training.fold_data import FoldData
from nephroscale.training.settings import TrainSettings
from support.networks import model_settings
from support.stored_features import Cohort


def train_fold(
    data: FoldData | Cohort,
    folder: Path,
    model: Mapping[str, Any],
    settings: Mapping[str, Any],
    *,
    seed: int = 1,
    work: Path | None = None,
    name: str = "",
    **rest: Any,
) -> dict[str, Any]:
    """Train into `folder/out` with a checkpoint in `folder/work`, named by what decides the training."""
    if isinstance(data, Cohort):
        data = data.data()
    checkpoint = Checkpoint(work or folder / "work", name or repr((sorted(model), sorted(settings.items()), seed)))
    train = TrainSettings.from_mapping(settings)
    return fit(data, model_settings(**model), train, checkpoint, seed=seed, out=folder / "out", **rest)


def with_sides(data: FoldData, **sides: Any) -> FoldData:
    """The same data with other patients on some sides of its fold."""
    fold = replace(data.fold, **{side: tuple(patients) for side, patients in sides.items()})
    return replace(data, folds=replace(data.folds, folds=(fold,)))


def trained_files(folder: Path) -> dict[str, bytes]:
    """The files that a training wrote."""
    return {path.name: path.read_bytes() for path in sorted((folder / "out").iterdir())}
