"""Probabilities of electron-dense deposits as the prior of TEM images in the diagnosis."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nephroscale.deposits.images import ImageInstances, load_pictures, with_copies
from nephroscale.deposits.settings import SVM, DepositsSettings
from nephroscale.deposits.svm import fit_svm, inner_folds, load_svm
from nephroscale.deposits.train import Task, join_stages, make_backbone
from nephroscale.errors import Rejected
from nephroscale.training.tem_priors import TemPriors

FILE = "prior.json"
LEAST = 1e-3
"""The smallest prior: no image is shut out."""


def fit_priors(
    task: Task, bags: Mapping[str, Path], settings: DepositsSettings, *, out: Path, device: str = "cpu"
) -> dict[str, object]:
    """Fit an SVM on the labelled images of a fold's training patients, and give priors without their own labels.

    The prior of a training patient's images comes from SVMs that were fitted without this person, on three inner folds.
    Those of validation patients and of training patients without labels come from the SVM fitted on all, which is
    stored for other patients.

    Parameters
    ----------
    task
        Fold, site and seed; the variant is not used.
    bags
        Patient to the object of the stage `tem`, for patients of the training and validation side.
    settings
        Of the backbone; `backbone.weights` is the path to read.
    out
        Folder to make: `priors.json`, `svm.safetensors`, `svm.json`, `prior.json`.
    device
        `cpu` or `cuda`.

    Raises
    ------
    Rejected
        When there are too few persons with or without deposits.
    """
    labels = with_copies(bags, task.folds.labels(task.folds.side(task.fold, "train"), task.site))
    pictures = load_pictures(bags, None, settings.backbone.size_px)
    known = np.array([picture.id in labels for picture in pictures], bool)
    if not known.any():
        raise Rejected("no training patient has a labelled TEM image")
    persons = np.array([task.folds.persons.get(picture.patient, picture.patient) for picture in pictures])
    features = _features(pictures, settings, device)
    own, truth, who = features[known], np.array([labels[p.id] for p in pictures if p.id in labels]), persons[known]
    svm = fit_svm(own, truth, who.tolist(), task.seed)
    priors = svm.probabilities(features)
    seen = np.isin(persons, who)
    priors[seen] = np.nan
    for training, held_out in inner_folds(own, truth, who.tolist(), task.seed):
        inner = fit_svm(own[training], truth[training], who[training].tolist(), task.seed)
        others = np.isin(persons, who[held_out])
        priors[others] = inner.probabilities(features[others])
    mean = round(max(float(np.nanmean(priors[seen])), LEAST), 6)
    out.mkdir()
    svm.save(out)
    kept = replace(settings, backbone=replace(settings.backbone, weights=None)).to_mapping()
    (out / FILE).write_text(
        json.dumps({"deposits": kept, "mean": mean}, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
    _as_priors(pictures, np.where(np.isfinite(priors), priors, mean), mean).write(out)
    return {"labelled_images": int(known.sum()), "with_deposits": int(truth.sum()), "mean": round(mean, 6)}


def predict_priors(folder: Path, bags: Mapping[str, Path], weights: str | None, *, device: str = "cpu") -> TemPriors:
    """Give the priors of patients whom the stored SVM never saw.

    Parameters
    ----------
    folder
        As :func:`fit_priors` writes it.
    bags
        Patient to the object of the stage `tem`.
    weights
        Path of the backbone's weights, where it needs one.
    device
        `cpu` or `cuda`.
    """
    stored = json.loads((folder / FILE).read_text(encoding="utf-8"))
    settings, mean = DepositsSettings.from_mapping(stored["deposits"]), float(stored["mean"])
    settings = replace(settings, backbone=replace(settings.backbone, weights=weights))
    pictures = load_pictures(bags, None, settings.backbone.size_px)
    if not pictures:
        return TemPriors({}, mean)
    return _as_priors(pictures, load_svm(folder).probabilities(_features(pictures, settings, device)), mean)


def _features(pictures: Sequence[ImageInstances], settings: DepositsSettings, device: str) -> np.ndarray:
    from nephroscale.deposits.backbone import pooled_features

    return join_stages(
        pooled_features(make_backbone(settings, SVM, seed=0), pictures, device, settings.batch_size), SVM
    )


def _as_priors(pictures: Sequence[ImageInstances], values: np.ndarray, mean: float) -> TemPriors:
    return TemPriors(
        {p.id: round(max(float(value), LEAST), 6) for p, value in zip(pictures, values, strict=True)}, mean
    )
