"""Weights are local files named with their digest: found, checked, never downloaded."""

from __future__ import annotations

from pathlib import Path

from nephroscale.errors import NephroscaleError
from nephroscale.store.digest import digest_file, digest_json, list_files


def digest_weights(path: Path) -> str:
    """Digest a weights file, or a folder by the sorted relative paths of its files and their digests.

    Parameters
    ----------
    path
        File or folder. Hidden files and folders are left out: download tools keep their notes in them.

    Returns
    -------
    str
        BLAKE3, 64 hexadecimal digits.
    """
    if path.is_file():
        return digest_file(path)
    names = [name for name, _ in list_files(path) if not any(part.startswith(".") for part in name.split("/"))]
    return digest_json([[name, digest_file(path / name)] for name in names])


def check_weights(name: str, weights: str | None, digest: str | None, *, origin: str) -> Path:
    """Find an encoder's weights and make sure that they are the ones the configuration names.

    Parameters
    ----------
    name
        The encoder's name, for messages.
    weights
        Path of a safetensors file or of a folder.
    digest
        BLAKE3 digest that :func:`digest_weights` has to give.
    origin
        Where the weights can be had, for the message when they are missing.

    Raises
    ------
    NephroscaleError
        When the path or the digest is not given, the path is not there, or the digest differs.
    """
    if not weights or not Path(weights).exists():
        raise NephroscaleError(
            f"The encoder {name!r} needs weights, and "
            + ("there is nothing at the path given." if weights else "the configuration names none."),
            where=f"features.encoders, weights: {weights}",
            todo=f"Nothing is downloaded here. Fetch {origin} beforehand, as safetensors,"
            " and give its path as `weights`.",
        )
    found = digest_weights(Path(weights))
    if not digest:
        raise NephroscaleError(
            f"The weights of the encoder {name!r} are named without their digest.",
            where=f"features.encoders, weights: {weights}",
            todo=f"If these are the weights you mean, add `digest: {found}`.",
        )
    if found != digest.lower():
        raise NephroscaleError(
            f"The weights of the encoder {name!r} are not those that the configuration names: digest {found}.",
            where=f"features.encoders, weights: {weights}, digest: {digest}",
            todo="Fetch the right weights, or correct the digest if these are right.",
        )
    return Path(weights)
