"""Settings of the target `deposits`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nephroscale.settings import Settings, section, setting

Site = Literal["any", "mesangial", "subepithelial", "intramembranous", "subendothelial"]
Variant = Literal["plain", "svm", "svm-without-skips", "svm-random-weights"]
PLAIN, SVM = "plain", "svm"
COMBINED, EQUAL = "combined", "combined-equal"


@dataclass(frozen=True)
class BackboneSettings(Settings):
    """The pretrained network whose features are read, and fine-tuned as the plain network."""

    name: Literal["efficientnet-lite0", "resnet18", "resnet50"] = setting(
        "`efficientnet-lite0` (ImageNet weights that `make setup` prepares), or a ResNet as in the paper, with weights "
        "of your own.",
        "efficientnet-lite0",
    )
    weights: str | None = setting("Local safetensors file; `efficientnet-lite0` needs none.", None)
    digest: str | None = setting("BLAKE3 digest that the weights must have.", None)
    size_px: int = setting("Side to which TEM instances are scaled.", 224, minimum=64)
    precision: Literal["float32", "bfloat16"] = setting(
        "Precision in which the features of the SVM are computed; the plain network is always trained in float32. "
        "bfloat16 is faster on GPUs and processors that have it, but changes the SVM's decisions.",
        "float32",
    )


@dataclass(frozen=True)
class DepositsSettings(Settings):
    """Electron-dense deposits in TEM images, learnt from the column `deposits` of the table of images."""

    sites: tuple[Site, ...] = setting(
        "What the models predict, each with its own models: deposits at `any` site, or at one site. With an empty "
        "list, no models are trained.",
        ("any",),
        unique=True,
    )
    variants: tuple[Variant, ...] = setting(
        "Models: `plain` is a fine-tuned network, `svm` a support vector machine on features with skip connections; "
        "the other two are controls of the SVM. If `plain` and `svm` are listed, their combination is evaluated too.",
        ("plain", "svm", "svm-without-skips", "svm-random-weights"),
        min_items=1,
        unique=True,
    )
    backbone: BackboneSettings = section(BackboneSettings)
    seeds: tuple[int, ...] = setting("Seeds of the trainings.", (1,), min_items=1, unique=True)
    head_steps: int = setting(
        "Training steps of the plain network's head, on features of the frozen backbone.", 100, minimum=1
    )
    epochs: int = setting(
        "Epochs of the plain network after these steps, in which all layers are trained.", 12, minimum=1
    )
    learning_rate: float = setting(
        "Learning rate at the start of these epochs; it falls to zero along a cosine.", 1e-4, above=0
    )
    batch_size: int = setting("TEM instances in a batch.", 16, minimum=1)
