"""The folder of real images beside the project."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def require_real_images(root: Path) -> Path:
    """Return the folder ``../shared``; without it, skip the test, or fail it in continuous integration (CI=true)."""
    folder = root.parent / "shared"
    if not folder.is_dir():
        message = "the folder ../shared with real images is absent"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder
