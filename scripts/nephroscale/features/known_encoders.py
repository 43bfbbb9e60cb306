"""Pretrained encoders: authors, licence, source and architecture.

Facts as the model pages gave them in 2026; licences change, so read the page before use. Nothing here is downloaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.json_text import JSON


class KnownEncoder(NamedTuple):
    """One pretrained network.

    Parameters
    ----------
    title
        Name in the literature.
    encoder
        Name in `features.encoders`: its own, `huggingface` (a folder with config.json), or `timm:<model>` (with the
        extra `timm`).
    source
        Repository on huggingface.co.
    licence
        Of the weights.
    gated
        Whether access has to be requested.
    pretrained_on
        Images of the pretraining.
    maps
        Grid and channels of its feature maps for images of 224 px.
    model_type
        Model type in transformers, of encoders with a name of their own; None for all others.
    architecture
        Keys of its config.json, so that a single safetensors file is enough; None where config.json is needed.
    """

    title: str
    encoder: str
    source: str
    licence: str
    gated: bool
    pretrained_on: str
    maps: str
    model_type: str | None = None
    architecture: Mapping[str, JSON] | None = None


NON_COMMERCIAL = "CC BY-NC-ND 4.0 (no commercial use, no derivatives handed on)"

KNOWN = (
    KnownEncoder(
        "Swin-B",
        "swin-b",
        "microsoft/swin-base-patch4-window7-224",
        "Apache-2.0",
        False,
        "ImageNet",
        "7 x 7 x 1024",
        "swin",
        {"embed_dim": 128, "depths": [2, 2, 18, 2], "num_heads": [4, 8, 16, 32], "image_size": 224, "window_size": 7},
    ),
    KnownEncoder(
        "ResNet-50",
        "resnet50",
        "microsoft/resnet-50",
        "Apache-2.0",
        False,
        "ImageNet",
        "7 x 7 x 2048",
        "resnet",
        {"depths": [3, 4, 6, 3], "hidden_sizes": [256, 512, 1024, 2048], "layer_type": "bottleneck"},
    ),
    KnownEncoder(
        "ResNet-18",
        "resnet18",
        "microsoft/resnet-18",
        "Apache-2.0",
        False,
        "ImageNet",
        "7 x 7 x 512",
        "resnet",
        {"depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 256, 512], "layer_type": "basic"},
    ),
    KnownEncoder(
        "ViT-B/16",
        "vit-b",
        "google/vit-base-patch16-224-in21k",
        "Apache-2.0",
        False,
        "ImageNet-21k",
        "14 x 14 x 768",
        "vit",
        {"image_size": 224, "patch_size": 16},
    ),
    KnownEncoder(
        "DINOv2 ViT-B/14",
        "dinov2-b",
        "facebook/dinov2-base",
        "Apache-2.0",
        False,
        "LVD-142M",
        "16 x 16 x 768",
        "dinov2",
        {"image_size": 518, "patch_size": 14},
    ),
    KnownEncoder(
        "Phikon-v2",
        "huggingface",
        "owkin/phikon-v2",
        "Owkin non-commercial licence",
        False,
        "460M histology tiles, HE",
        "14 x 14 x 1024",
    ),
    KnownEncoder(
        "UNI2-h",
        "timm:vit_giant_patch14_224",
        "MahmoodLab/UNI2-h",
        NON_COMMERCIAL,
        True,
        "histology, HE and IHC",
        "16 x 16 x 1536",
    ),
    KnownEncoder(
        "Virchow2",
        "timm:vit_huge_patch14_224",
        "paige-ai/Virchow2",
        NON_COMMERCIAL,
        True,
        "histology, HE and IHC",
        "16 x 16 x 1280",
    ),
    KnownEncoder(
        "H-optimus-1",
        "timm:vit_giant_patch14_reg4_dinov2",
        "bioptimus/H-optimus-1",
        NON_COMMERCIAL,
        True,
        "histology, HE",
        "16 x 16 x 1536",
    ),
    KnownEncoder(
        "GPFM",
        "timm:vit_large_patch14_dinov2",
        "majiabo/GPFM",
        "MIT by its model page; other lists call it CC BY-NC-ND 4.0, so ask its authors",
        False,
        "190M histology tiles, mostly HE",
        "16 x 16 x 1024",
    ),
    KnownEncoder(
        "StainNet (special stains)",
        "timm:vit_small_patch16_224",
        "JWonderLand/StainNet",
        NON_COMMERCIAL,
        False,
        "1.4M tiles of special stains and IHC",
        "14 x 14 x 384",
    ),
)


def known_encoder(name: str) -> KnownEncoder | None:
    """Return the first known encoder that a configuration calls by this name; None where there is none."""
    return next((known for known in KNOWN if known.encoder == name), None)
