"""Which code the imported numerical libraries have chosen for this processor, by their own report."""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

from nephroscale.engine.device import NodeError
from nephroscale.engine.environment import OVERRIDDEN, PORTABLE, instruction_set, processor_class
from nephroscale.engine.settings import ComputeSettings

#: What each library reports where it is pinned. Of torch's oneDNN it is the limit that it reads, as it reports nothing.
EXPECTED = {
    "torch": "AVX2",
    "oneDNN": "limit AVX2",
    "MKL": "COMPATIBLE",
    "numpy": "baseline",
    "OpenBLAS": "Haswell",
    "OpenCV": "AVX2",
}
_MKL_COMPATIBLE = 3


def check_dispatch(compute: ComputeSettings) -> dict[str, str]:
    """Return the code that each imported library reports, and the variables that were overridden, for the record.

    Raises
    ------
    NodeError
        Where `portable` is asked for and a library computes with other code, or where `native` is asked for on another
        class of processors.
    """
    found = read_dispatch(sys.modules)
    if (asked := instruction_set(compute)) not in {PORTABLE, processor_class()}:
        raise NodeError(
            f"compute.processor is {asked}, but this processor is of the class {processor_class()}.",
            where=f"node {socket.gethostname()}",
            fix="Let Slurm select nodes (`slurm_extra: \"'--constraint=...'\"` in the profile), or set "
            "compute.processor to the class of the nodes.",
        )
    if compute.instruction_set == PORTABLE:
        wrong = [
            f"{name} reports {found[name]}, not {EXPECTED[name]}" for name in found if found[name] != EXPECTED[name]
        ]
        if wrong:
            raise NodeError(
                f"compute.instruction_set is portable, but {'; '.join(wrong)}.",
                where=f"node {socket.gethostname()}",
                fix="Start the job by Snakemake or `nephroscale`, which set what the libraries read before they are "
                "imported. On a processor without AVX2 set compute.instruction_set: native.",
            )
    return found | ({"overridden": os.environ[OVERRIDDEN]} if OVERRIDDEN in os.environ else {})


def read_dispatch(modules: Mapping[str, ModuleType]) -> dict[str, str]:
    """Ask the numerical libraries among some imported modules (`sys.modules`); none is imported for it."""
    found = {}
    if torch := modules.get("torch"):
        found["torch"] = torch.backends.cpu.get_cpu_capability()
        limit = os.environ.get("ONEDNN_MAX_CPU_ISA")
        found["oneDNN"] = f"limit {limit}" if limit else "no limit"
        if mkl := _mkl(Path(str(torch.__file__)).parent / "lib" / "libtorch_cpu.so"):
            found["MKL"] = mkl
    if numpy := modules.get("numpy._core._multiarray_umath"):
        chosen = [name for name in numpy.__cpu_dispatch__ if numpy.__cpu_features__.get(name)]
        found["numpy"] = " ".join(chosen) or "baseline"
        if blas := _openblas(_loaded("openblas")):
            found["OpenBLAS"] = blas
    if cv2 := modules.get("cv2"):
        # such as `SSE *AVX *AVX2 *AVX512-SKX?`: an asterisk where code is chosen at run time, ? where it is disabled
        chosen = [name[1:] for name in cv2.getCPUFeaturesLine().split() if name[0] == "*" and name[-1] != "?"]
        found["OpenCV"] = (chosen or ["baseline"])[-1] + (" with IPP" if cv2.ipp.useIPP() else "")
    return found


def _mkl(library: Path) -> str:
    """The mode of torch's MKL, by a function that it exports but does not document; empty where there is none."""
    try:
        mode = int(ctypes.CDLL(str(library)).mkl_serv_cbwr_get(-1))
    except (OSError, AttributeError):
        return ""
    return "COMPATIBLE" if mode == _MKL_COMPATIBLE else f"mode {mode}"


def _loaded(name: str) -> frozenset[str]:
    """The files with this name that the process has loaded; none on systems other than Linux."""
    try:
        return frozenset(line for line in Path("/proc/self/maps").read_text().split() if name in line)
    except OSError:
        return frozenset()


@cache
def _openblas(loaded: frozenset[str]) -> str:  # noqa: ARG001  (asked again only when another copy is loaded)
    """The kernels of the loaded copies of OpenBLAS."""
    from threadpoolctl import threadpool_info

    return " ".join(sorted({each["architecture"] for each in threadpool_info() if each["internal_api"] == "openblas"}))
