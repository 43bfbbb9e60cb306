"""Recipes: everything that decides what is in an artifact."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from nephroscale.store.digest import digest_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.json_text import JSON


@dataclass(frozen=True)
class Recipe:
    """What an artifact is made from; the digest of the recipe names its record.

    Parameters
    ----------
    stage, format
        Name of the stage, and the number of its output format.
    code
        Digests of the code that runs, by file (see :class:`nephroscale.store.code.Closure`).
    packages
        Versions of third-party packages, by distribution.
    settings, rows
        The slices of the configuration and of the cohort's tables that the stage reads.
    inputs
        Digests of what it reads, by ``stage/unit`` or ``stage/unit#part`` of an artifact, or by name of a raw file.
    seed
        Of random choices; None where the stage makes none.
    compute
        Number of threads and, where results depend on them, device and instruction set.
    """

    stage: str
    format: int = 1
    code: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    rows: object = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None
    compute: Mapping[str, JSON] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """The name of the recipe: BLAKE3 of its canonical JSON."""
        return digest_json(self.as_json())

    def as_json(self) -> dict[str, object]:
        """The recipe as a JSON object."""
        return {key.name: getattr(self, key.name) for key in fields(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read a recipe from its JSON object."""
        return cls(**value)
