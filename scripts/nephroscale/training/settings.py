"""Settings of the training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nephroscale.settings import Settings, setting

PAPER = {
    "epochs": 40,
    "patience": 40,
    "batch_size": 4,
    "learning_rate": 5e-5,
    "final_learning_rate": 5e-6,
    "weight_decay": 5e-5,
    "standardise": False,
}
"""The preset `paper`: how the paper of CMUS-Net (arXiv 2512.15171) fine-tunes its encoders with the network."""


@dataclass(frozen=True)
class TrainSettings(Settings):
    """Training. The settings apply to every model, unless the model's own `train` overrides them."""

    seeds: tuple[int, ...] = setting(
        "Each model is trained once for every seed.", (1,), min_items=1, items={"type": "integer", "minimum": 0}
    )
    preset: Literal["paper"] | None = setting(
        "`paper`: the paper's values for fine-tuning encoders with the network (40 epochs, rate 5e-5 to 5e-6), for "
        "models with an `encoder`; other keys of `train` take precedence. The defaults are for frozen features.",
        None,
    )
    epochs: int = setting("Largest number of epochs.", 60, minimum=1)
    patience: int = setting("Epochs without a lower validation loss after which training stops.", 20, minimum=1)
    batch_size: int = setting("Patients in a training step.", 4, was="batch", minimum=1)
    learning_rate: float = setting("Adam's learning rate at the start.", 1e-3, above=0)
    final_learning_rate: float = setting("Learning rate at the end of the cosine.", 1e-5, minimum=0)
    weight_decay: float = setting("Weight decay.", 5e-5, minimum=0)
    standardise: bool = setting(
        "Whether a network standardises stored features: it subtracts the mean of each channel of a modality over the "
        "fold's training patients, and divides by the standard deviation. Both are stored with the weights. Ignored by "
        "models with an `encoder`, which read pixels.",
        default=True,
    )
    random_flips: bool = setting(
        "Random flips of pixel bags and of feature maps while training.", default=True, was="flips"
    )
    max_tem_instances: int = setting(
        "Largest number of TEM instances of a patient in a bag. Of more, a random sample is read; it depends on the "
        "seed, and is reported.",
        10,
        was="maximum_instances",
        minimum=1,
    )
    loss: Literal["cross_entropy", "focal"] = setting(
        "Loss of each prediction; `focal` gives less weight to patients who are already classified well.",
        "cross_entropy",
    )
    focal_gamma: float = setting("Focusing exponent of the focal loss; 0 is cross-entropy.", 2.0, minimum=0)
    class_weights: Literal["none", "balanced"] = setting(
        "`balanced` weights each class by the inverse of its number of training patients in the fold.", "none"
    )
    modality_dropout: float | None = setting(
        "Fraction of the patients' modalities that are masked at random in training, so that a network learns to "
        "predict without them; null is 0.2 with `task.missing_modalities: mask` and 0 without. Ignored by networks "
        "that need every modality.",
        None,
        minimum=0,
        below=1,
    )
    precision: Literal["auto", "float32", "bfloat16"] = setting(
        "Precision of forward passes in training; `auto` is bfloat16 on a GPU that supports it, float32 elsewhere.",
        "auto",
    )
    channels_last: bool | None = setting(
        "Memory format of encoders trained with a model; null is channels-last on a GPU.", None
    )
    record: bool = setting(
        "Whether the training steps of CMUS-Net and the fusion baselines are recorded as CUDA graphs on a GPU, which "
        "is faster.",
        default=True,
    )
    compile: bool | None = setting(
        "Whether the blocks of trained encoders are compiled (torch.compile), which takes minutes once. null compiles "
        "on a GPU if the training encodes more than 250,000 images.",
        None,
    )


def expand_preset(config: Mapping[str, object]) -> dict[str, object]:
    """Write out the preset of the section `train` and of each model's `train`; keys given beside it take precedence.

    What is no mapping stays as it is: the schema names its fault.
    """
    written = {**config, **_expand(config)}
    models = config.get("models")
    if isinstance(models, Mapping):
        written["models"] = {
            name: {**model, **_expand(model)} if isinstance(model, Mapping) else model for name, model in models.items()
        }
    return written


def _expand(section: Mapping[str, object]) -> dict[str, object]:
    train = section.get("train")
    return {"train": {**PAPER, **train}} if isinstance(train, Mapping) and train.get("preset") == "paper" else {}
