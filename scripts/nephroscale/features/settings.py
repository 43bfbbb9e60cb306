"""Settings of feature extraction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nephroscale.settings import Settings, section, setting


@dataclass(frozen=True)
class EncoderSettings(Settings):
    """The encoder of one modality."""

    name: str = setting(
        "`texture` (filter bank, needs no weights), `pixels` (the images themselves, for fine-tuning), `h5` (bags that "
        "another program made, see `h5_folder`), `efficientnet-lite0` (ImageNet weights that `make setup` prepares), "
        "or a network with weights of your own such as `swin-b` or `resnet50`.",
        "texture",
    )
    weights: str | None = setting(
        "Local safetensors file or Hugging Face folder; `efficientnet-lite0` needs none.", None
    )
    digest: str | None = setting("BLAKE3 digest that the weights must have.", None)
    h5_folder: str | None = setting(
        "For `h5`: the folder that holds <patient_id>.h5 or <image_id>.h5, as CLAM and TRIDENT write them.", None
    )
    size_px: int = setting("Side to which images are scaled for this encoder.", 224, minimum=32)
    precision: Literal["auto", "float32", "bfloat16"] = setting(
        "Precision in which a network of the transformers library encodes; `auto` is bfloat16 on a GPU that supports "
        "it, float32 elsewhere.",
        "auto",
    )


@dataclass(frozen=True)
class EncodersSettings(Settings):
    """The encoder of each modality."""

    OM: EncoderSettings = section(EncoderSettings)
    IM: EncoderSettings = section(EncoderSettings)
    TEM: EncoderSettings = section(EncoderSettings)

    def of(self, modality: str) -> EncoderSettings:
        """Give the encoder of a modality."""
        encoder: EncoderSettings = getattr(self, modality)
        return encoder


@dataclass(frozen=True)
class FeaturesSettings(Settings):
    """Encoders and bags."""

    encoders: EncodersSettings = section(EncodersSettings)
    dtype: Literal["float16", "float32"] = setting("Precision in which features are stored.", "float32")
    batch_size: int | None = setting(
        "Images encoded in one step; null is 8 on a CPU and 64 on a GPU.", None, was="batch", minimum=1
    )
    om_glomeruli: int = setting(
        "Largest number of glomeruli of a patient in the OM bag. With 1, the bag has the representative glomerulus.",
        1,
        minimum=1,
    )


@dataclass(frozen=True)
class ExtractionSettings(Settings):
    """Settings that decide the features of one modality; of the weights their digest, not their path."""

    encoder: EncoderSettings = section(EncoderSettings)
    dtype: Literal["float16", "float32"] = setting("Precision in which features are stored.", "float32")
    batch_size: int | None = setting("Images encoded at once.", None)
    om_glomeruli: int = setting("Glomeruli of a patient in the OM bag.", 1)
    stains: tuple[str, ...] = setting("Stains of OM slides, best first; empty for other modalities.", ())
    panel: tuple[str, ...] = setting("Markers of IM images by slot; empty for other modalities.", ())
