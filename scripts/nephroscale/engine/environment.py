"""What the machine and its installed packages contribute to a recipe."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from nephroscale.engine.settings import ComputeSettings
from nephroscale.json_text import JSON
from nephroscale.store.recipe import SharedPart

#: Environment variables that decide how CUDA libraries compute, with the values that every job has.
NUMERICAL_ENVIRONMENT = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
PORTABLE = "portable"
#: Variables that hold each library to code which computes the same on all x86-64 processors with AVX2.
PINS = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",  # its AVX2 code is for Intel's processors alone
    "OPENBLAS_CORETYPE": "Haswell",
    "OPENCV_IPP": "disabled",
    "OPENCV_CPU_DISABLE": "AVX512-SKX",
}
#: Other values of these variables that a run has found set, for its records.
OVERRIDDEN = "NEPHROSCALE_OVERRIDDEN"
MAKERS = {"GenuineIntel": "Intel", "AuthenticAMD": "AMD"}
_AVX512 = frozenset({"avx512f", "avx512vl", "avx512bw", "avx512dq", "avx512cd"})
_ICL = _AVX512 | {"avx512ifma", "avx512vbmi", "avx512_vnni", "avx512_vbmi2", "avx512_bitalg", "avx512_vpopcntdq"}
#: Levels of instructions by which libraries choose, the lowest first, and the processor's flags for each.
LEVELS = {
    "AVX2": frozenset({"avx2", "fma"}),
    "AVX512": _AVX512 | {"fma"},
    "AVX512_ICL": _ICL | {"fma"},
    "AVX512_SPR": _ICL | {"fma", "avx512_fp16"},
}
#: Features by which numpy chooses its code.
NUMPY = {"X86_V3": LEVELS["AVX2"]} | {
    name: LEVELS[level]
    for name, level in (("X86_V4", "AVX512"), ("AVX512_ICL", "AVX512_ICL"), ("AVX512_SPR", "AVX512_SPR"))
}
#: Distributions with another name than the import; `packages_distributions` finds them too, in 0.3 s a process.
DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "yaml": "PyYAML",
    "openslide": "openslide-python",
}
#: Imported name to further distributions that affect its output: the libraries that it decodes with.
ALSO_DECIDING = {"openslide": ("openslide-bin",), "tifffile": ("imagecodecs",), "zarr": ("numcodecs",)}


@cache
def package_versions(imports: tuple[str, ...]) -> SharedPart:
    """Look up the installed versions of the packages behind some imported names, and of Python.

    Parameters
    ----------
    imports
        Top-level names, such as ``cv2``.

    Returns
    -------
    SharedPart
        Distribution to version, or ``absent``, sorted by name.
    """
    named = {each for name in imports for each in (*_distributions_of(name), *ALSO_DECIDING.get(name, ()))}
    return SharedPart(
        sorted(({"python": platform.python_version()} | {name: _version(name) for name in named}).items())
    )


def _distributions_of(name: str) -> tuple[str, ...]:
    """The distributions that install a package: most often one of the same name."""
    name = DISTRIBUTIONS.get(name, name)
    if _version(name) != "absent" or importlib.util.find_spec(name) is None:  # the latter for extras left out
        return (name,)
    return tuple(sorted(set(_all_distributions().get(name, (name,)))))


_all_distributions = cache(importlib.metadata.packages_distributions)


@cache
def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def numerical_environment(compute: ComputeSettings, *, on_device: bool) -> dict[str, JSON]:
    """What of the environment decides an artifact's bytes, for its recipe.

    Parameters
    ----------
    compute
        The section of the configuration.
    on_device
        Whether the artifact is computed on `compute.device`: then the device counts, too.
    """
    environment: dict[str, JSON] = {"threads": compute.threads, "instruction_set": instruction_set(compute)}
    if on_device:
        environment["device"] = compute.device
        if compute.device == "cuda":
            environment |= {name: os.environ.get(name, value) for name, value in NUMERICAL_ENVIRONMENT.items()}
    return environment


def instruction_set(compute: ComputeSettings) -> str:
    """``portable``, or for ``native`` the class of processors, without importing what computes on them."""
    return PORTABLE if compute.instruction_set == PORTABLE else compute.processor or processor_class()


def processor_class() -> str:
    """The class of this processor, such as ``AMD-AVX2``: libraries choose their code by maker and instructions.

    Variables by which somebody limits a library follow, since they change the choice.
    """
    maker, flags = _processor()
    level = next((name for name, needed in reversed(LEVELS.items()) if needed <= flags), "DEFAULT")
    limits = [f"{name}={os.environ[name]}" for name in (*PINS, "NPY_DISABLE_CPU_FEATURES") if name in os.environ]
    return " ".join([f"{maker}-{level}", *limits])


@cache
def _processor() -> tuple[str, frozenset[str]]:
    """The maker of this processor and its flags; on systems other than Linux, the machine's name and no flags."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine(), frozenset()
    values = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}
    maker = values.get("vendor_id", platform.machine())
    return MAKERS.get(maker, maker), frozenset(values.get("flags", "").split())


def set_numerical_environment(compute: Mapping[str, Any]) -> bool:
    """Fix what numerical libraries read when they are first imported, here and in processes that this one starts.

    Parameters
    ----------
    compute
        The section of the configuration as Snakemake hands it in, before it is checked.

    Returns
    -------
    bool
        Whether anything was changed: what is already imported has not seen it.
    """
    before = dict(os.environ)
    for name in (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "OPENCV_FOR_THREADS_NUM",
    ):
        os.environ[name] = str(compute.get("threads", 1))
    if compute.get("instruction_set", PORTABLE) == PORTABLE:
        pins = _pins()
        preset = [
            f"{name}={before[name]}"
            for name, value in pins.items()
            if before.get(name, value) not in ({value} | _pins_elsewhere(name))
        ]
        os.environ.update(pins, OPENCV_LOG_LEVEL="ERROR")  # else it warns of each pin in every process
        if preset:
            os.environ[OVERRIDDEN] = " ".join(preset)
    for name, value in NUMERICAL_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ["HF_HUB_OFFLINE"] = "1"
    return dict(os.environ) != before


def _pins_elsewhere(name: str) -> set[str]:
    """The values that this module gives a variable on other processors, as a job inherits them from the login node."""
    names = list(NUMPY)
    return {" ".join(names[:n]) for n in range(len(names) + 1)} if name == "NPY_DISABLE_CPU_FEATURES" else set()


def _pins() -> dict[str, str]:
    """The variables of `portable`; features that this processor lacks are not named, as libraries warn of them."""
    flags = _processor()[1]
    pins = {**PINS, "NPY_DISABLE_CPU_FEATURES": " ".join(name for name, needed in NUMPY.items() if needed <= flags)}
    if not LEVELS["AVX512"] <= flags:
        del pins["OPENCV_CPU_DISABLE"]
    return pins
