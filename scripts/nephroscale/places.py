"""The folders of the workflow and of the scripts, in a checkout and in an installed package."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def workflow_folder() -> Path:
    """Give the folder of the Snakefile, the rules and the schemas.

    In a checkout it is ``<root>/workflow``; a wheel has it inside the package.
    """
    inside = PACKAGE / "workflow"
    return inside if inside.is_dir() else PACKAGE.parents[1] / "workflow"


def scripts_folder() -> Path:
    """Give the folder of the rules' scripts.

    In a checkout it is ``<root>/scripts``; a wheel has it inside the package.
    """
    inside = PACKAGE / "scripts"
    return inside if inside.is_dir() else PACKAGE.parent
