"""Recipes: everything that decides what is in an artifact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from nephroscale.json_text import JSON, canonical_json
from nephroscale.store.digest import digest_bytes


class SharedPart(dict[str, str]):
    """A part of many recipes, which never changes; its canonical JSON is made once."""

    @cached_property
    def canonical(self) -> bytes:
        """The part as it is hashed."""
        return canonical_json(self)


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
        parts = sorted(self.as_json().items())
        texts = (part.canonical if isinstance(part, SharedPart) else canonical_json(part) for _, part in parts)
        named = (b'"%s":%s' % (name.encode(), text) for (name, _), text in zip(parts, texts, strict=True))
        return digest_bytes(b"{%s}" % b",".join(named))

    def as_json(self) -> dict[str, object]:
        """The recipe as a JSON object."""
        return {name: getattr(self, name) for name in self.__match_args__}  # all fields, in order
