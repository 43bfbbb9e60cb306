"""The package installed from its wheel into a fresh virtual environment, beside the pinned dependencies."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("scripts", "workflow", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "envs")
SNAKEMAKE = "#!{python}\nimport sys\nfrom snakemake.cli import main\nsys.exit(main())\n"


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout


@dataclass(frozen=True)
class Installation:
    """A virtual environment with the wheel."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Installation:
        """Build the wheel from a copy of the sources, and install it without network."""
        sources, wheels = folder / "sources", folder / "wheels"
        sources.mkdir(parents=True)
        for name in SOURCES:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
                shutil.copytree(ROOT / name, sources / name, ignore=ignored)
            else:
                shutil.copy(ROOT / name, sources / name)
        pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
        _run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, sources)
        installation = cls(folder / "venv")
        _run(sys.executable, "-m", "venv", "--without-pip", installation.folder)
        (wheel,) = wheels.glob("nephroscale-*.whl")
        _run(*pip, "--python", installation.python, "install", "--no-deps", "--no-index", wheel)
        # A folder named in a .pth file comes after this environment's own, and its own .pth files are not read. So the
        # wheel precedes an editable installation in the environment of the tests.
        (installation.site_packages / "pinned.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
        snakemake = installation.folder / "bin/snakemake"
        snakemake.write_text(SNAKEMAKE.format(python=installation.python))
        snakemake.chmod(0o755)
        return installation

    @property
    def python(self) -> Path:
        return self.folder / "bin/python"

    @property
    def site_packages(self) -> Path:
        (found,) = self.folder.glob("lib/python*/site-packages")
        return found

    @property
    def snakefile(self) -> Path:
        return self.site_packages / "nephroscale/workflow/Snakefile"

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a shell in which this environment is active."""
        kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
        path = f"{self.folder / 'bin'}{os.pathsep}{kept.get('PATH', '')}"
        return {**kept, "PATH": path, "VIRTUAL_ENV": str(self.folder)}

    def run(self, *command: str | Path, folder: Path, seconds: float = 1200) -> subprocess.CompletedProcess[str]:
        """Run a command in a folder, with this environment active."""
        return subprocess.run(
            command,
            cwd=folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
