"""Build step of the wheel; everything else is declared in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

IGNORED = shutil.ignore_patterns("__pycache__", ".snakemake")


class BuildWithWorkflow(build_py):
    """Put the workflow and the job scripts into the package.

    The rules name a script relative to themselves, ``../../scripts/tile_slide.py``. Hence ``workflow`` and ``scripts``
    are siblings in the wheel, as in a checkout. An editable installation reads them from the checkout.
    """

    def run(self) -> None:
        """Build the modules, then copy the two folders beside them."""
        super().run()
        if not self.editable_mode:
            package = Path(self.build_lib) / "nephroscale"
            shutil.copytree("workflow", package / "workflow", ignore=IGNORED, dirs_exist_ok=True)
            (package / "scripts").mkdir(exist_ok=True)
            for script in Path("scripts").glob("*.py"):
                shutil.copy(script, package / "scripts")


setup(cmdclass={"build_py": BuildWithWorkflow})
