"""Settings of the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nephroscale.settings import Settings, setting


@dataclass(frozen=True)
class StoreSettings(Settings):
    """The store of content-addressed objects."""

    path: str = setting("Folder of the store; several results folders may share one.", "store")
    mode: Literal["private", "group"] = setting(
        "Who may read objects: their owner alone, or the owner's group.", "private"
    )
    verify_on_read: bool = setting(
        "Hash an object again before each use, instead of checking only its sizes and times.", default=False
    )
