"""Numerical precision, memory format and compilation of a network in training."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from nephroscale.errors import NephroscaleError
from nephroscale.models.encoders.common import Encoder

if TYPE_CHECKING:
    from nephroscale.models.network import Network
    from nephroscale.training.settings import TrainSettings

PAYS_FROM = 250_000
"""Images from which on compiling Swin-B saves more time than it takes: 0.5 ms an image and 115 s with an H200."""
VARIANTS = 64
"""Most forms of one kind of block: widths, shifted windows, training and evaluation, one image and several."""


def autocast(device: str, precision: str = "auto") -> torch.autocast:
    """Select the precision of forward passes: by default bfloat16 on a GPU that supports it, float32 elsewhere.

    On a CPU, bfloat16 is used only if `precision` requests it: CPUs of one instruction set may differ in bfloat16
    support, but a training has to give the same weights on all of them. SMIL distances and losses are not reduced.
    """
    kind = "cuda" if device.startswith("cuda") else "cpu"
    has = kind == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(kind, torch.bfloat16, enabled=precision == "bfloat16" or (precision == "auto" and has))


def make_deterministic(device: str) -> None:
    """Refuse operators whose results differ from run to run.

    Raises
    ------
    NephroscaleError
        When the device is a GPU and this process has none.
    """
    if device.startswith("cuda"):
        if not torch.cuda.is_available():
            raise NephroscaleError(
                "This job has no GPU.",
                where="compute: device: cuda",
                fix="Set it to cpu, or request a GPU from the cluster.",
            )
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # nothing reads what nothing wrote
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms would import the compiler


def has_encoder(network: Network) -> bool:
    """Whether a network encodes images itself; else it reads feature maps."""
    return any(isinstance(module, Encoder) for module in network.modules())


def prepare(network: Network, settings: TrainSettings, images: int = 0) -> None:
    """Set the memory format of a network's encoders, and compile their blocks.

    Parameters
    ----------
    network
        On its device.
    settings
        `channels_last` and `compile`.
    images
        How many images the training encodes, which decides whether compiling pays where `compile` leaves it open.
    """
    on_gpu = next(network.parameters()).is_cuda
    wanted = settings.compile if settings.compile is not None else on_gpu and images > PAYS_FROM
    if wanted:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(compiled_folder()))
    for encoder in (module for module in network.modules() if isinstance(module, Encoder)):
        encoder.channels_last = settings.channels_last
        if settings.channels_last or (settings.channels_last is None and on_gpu):
            encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if wanted:
            for block in encoder.blocks():
                compile_block(block)


def compiled_folder() -> Path:
    """The user's folder of compiled code, which jobs on all nodes share; torch's own is in the node's temporary folder.

    It is not in the store, which a group may share, because compiled code is run as it is found.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nephroscale" / "compiled"


def compile_block(block: torch.nn.Module) -> None:
    """Compile a block for any number of images; blocks of one kind share the compiled code.

    Padding of matrices is off, because it is chosen by timing, so that two runs might round differently.
    """
    import torch._dynamo as dynamo

    dynamo.config.recompile_limit = max(dynamo.config.recompile_limit, VARIANTS)
    compiled = torch.compile(block.forward, fullgraph=True, dynamic=False, options={"shape_padding": False})

    def forward(images: torch.Tensor, *arguments: object, **named: object) -> object:
        dynamo.maybe_mark_dynamic(images, 0)
        return compiled(images, *arguments, **named)

    block.forward = forward
