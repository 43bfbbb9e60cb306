"""What the machine and its installed packages contribute to a recipe."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nephroscale.engine.settings import ComputeSettings
    from nephroscale.json_text import JSON

#: Environment variables that decide how CUDA libraries compute, with the values that every job has.
NUMERICAL_ENVIRONMENT = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
#: Distributions with another name than the import; `packages_distributions` finds them too, in 0.3 s a process.
DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "yaml": "PyYAML",
    "openslide": "openslide-python",
}
#: Imported name to the distributions that decide what comes out beside its own: the libraries that it decodes with.
ALSO_DECIDING = {"openslide": ("openslide-bin",), "tifffile": ("imagecodecs",), "zarr": ("numcodecs",)}


def package_versions(imports: Iterable[str]) -> dict[str, str]:
    """Look up the installed versions of the packages behind some imported names, and of Python.

    Parameters
    ----------
    imports
        Top-level names, such as ``cv2``.

    Returns
    -------
    dict
        Distribution to version, or ``absent``, sorted by name.
    """
    packages = {"python": platform.python_version()}
    for name in imports:
        for distribution in (*_distributions_of(name), *ALSO_DECIDING.get(name, ())):
            packages[distribution] = _version(distribution)
    return dict(sorted(packages.items()))


def _distributions_of(name: str) -> tuple[str, ...]:
    """The distributions that install a package: most often one of the same name."""
    name = DISTRIBUTIONS.get(name, name)
    if _version(name) != "absent" or importlib.util.find_spec(name) is None:  # the latter for extras left out
        return (name,)
    return tuple(sorted(set(_all_distributions().get(name, (name,)))))


@cache
def _all_distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


@cache
def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def instruction_set(choice: str = "auto") -> str:
    """Find the instruction-set level at which torch computes on this processor, without importing torch.

    Parameters
    ----------
    choice
        The configuration's ``compute.instruction_set``; ``auto`` reads the processor's flags as torch does.

    Returns
    -------
    str
        ``DEFAULT``, ``AVX2`` or ``AVX512``.
    """
    if choice != "auto":
        return choice
    if requested := os.environ.get("ATEN_CPU_CAPABILITY"):
        return requested.upper()
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return f"DEFAULT-{platform.machine()}"
    flags = set(next((line for line in text.splitlines() if line.startswith("flags")), "").split())
    if {"avx512f", "avx512vl", "avx512bw", "avx512dq", "fma"} <= flags:
        return "AVX512"
    return "AVX2" if {"avx2", "fma"} <= flags else "DEFAULT"


def numerical_environment(compute: ComputeSettings, *, torch: bool) -> dict[str, JSON]:
    """What of the environment decides an artifact's bytes, for its recipe.

    Parameters
    ----------
    compute
        The section of the configuration.
    torch
        Whether torch computes the artifact: then its device and the processor's instruction set count, too.
    """
    environment: dict[str, JSON] = {"threads": compute.threads}
    if torch:
        environment |= {"device": compute.device, "instruction_set": instruction_set(compute.instruction_set)}
        if compute.device == "cuda":
            environment |= {name: os.environ.get(name, value) for name, value in NUMERICAL_ENVIRONMENT.items()}
    return environment


def set_numerical_environment(compute: Mapping[str, Any]) -> None:
    """Fix what numerical libraries read when they are first imported.

    Parameters
    ----------
    compute
        The section of the configuration as Snakemake hands it in, before it is checked.
    """
    libraries = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    for name in (*libraries, "OPENCV_FOR_THREADS_NUM"):
        os.environ[name] = str(compute.get("threads", 1))
    if compute.get("instruction_set", "auto") != "auto":
        os.environ["ATEN_CPU_CAPABILITY"] = str(compute["instruction_set"]).lower()
    for name, value in NUMERICAL_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ["HF_HUB_OFFLINE"] = "1"
