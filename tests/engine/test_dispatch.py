"""What the imported libraries report, and jobs that compute with other code than asked for."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from nephroscale.engine import dispatch, environment, make_units
from nephroscale.engine.device import NodeError
from nephroscale.engine.dispatch import EXPECTED, check_dispatch, read_dispatch
from nephroscale.engine.environment import OVERRIDDEN, PINS, set_numerical_environment
from nephroscale.engine.settings import ComputeSettings

ASK = """
import json, sys
import cv2, numpy, scipy.linalg, torch
from nephroscale.engine.dispatch import read_dispatch
print(json.dumps(read_dispatch(sys.modules)))
"""


def report(environment: dict[str, str]) -> dict[str, str]:
    """What the libraries report in a process with this environment."""
    done = subprocess.run([sys.executable, "-c", ASK], env=environment, check=True, capture_output=True, text=True)
    assert done.stderr == ""  # OpenCV warns of each pin unless it is kept from it
    return json.loads(done.stdout)


@pytest.mark.slow
def test_pinned_libraries_report_what_is_expected(monkeypatch):
    monkeypatch.setattr(os, "environ", {**os.environ, "OPENBLAS_CORETYPE": "Prescott"})
    set_numerical_environment({})
    assert report(dict(os.environ)) == EXPECTED


@pytest.mark.slow
def test_each_library_that_is_not_pinned_is_found(monkeypatch):
    monkeypatch.delenv(OVERRIDDEN, raising=False)
    loose = {name: value for name, value in os.environ.items() if name not in {*PINS, "NPY_DISABLE_CPU_FEATURES"}}
    found = report({**loose, "ATEN_CPU_CAPABILITY": "default", "OPENBLAS_CORETYPE": "Prescott"})
    assert all(found[name] != EXPECTED[name] for name in EXPECTED)
    monkeypatch.setattr(dispatch, "read_dispatch", lambda _: found)
    with pytest.raises(NodeError) as fault:
        check_dispatch(ComputeSettings())
    assert all(f"{name} reports {found[name]}, not {EXPECTED[name]}" in str(fault.value) for name in EXPECTED)
    assert "instruction_set: native" in str(fault.value)
    assert check_dispatch(ComputeSettings(instruction_set="native")) == found


@pytest.mark.parametrize("processor", ["AMD-AVX2", ""])
def test_a_native_job_fails_on_another_class_of_processors_than_named(monkeypatch, processor):
    for module in (environment, dispatch):
        monkeypatch.setattr(module, "processor_class", lambda: "AMD-AVX2")
    check_dispatch(ComputeSettings(instruction_set="native", processor=processor))
    for module in (environment, dispatch):
        monkeypatch.setattr(module, "processor_class", lambda: "Intel-AVX512")
    settings = ComputeSettings(instruction_set="native", processor=processor)
    if not processor:
        check_dispatch(settings)
        return
    with pytest.raises(NodeError, match=r"compute\.processor is AMD-AVX2, but this .* of the class Intel-AVX512"):
        check_dispatch(settings)


def test_a_library_that_is_not_imported_is_not_asked():
    assert read_dispatch({}) == {}
    cv2 = SimpleNamespace(
        getCPUFeaturesLine=lambda: "SSE *AVX *AVX2 *AVX512-SKX?", ipp=SimpleNamespace(useIPP=lambda: False)
    )
    assert read_dispatch({"cv2": cv2}) == {"OpenCV": "AVX2"}


def test_what_was_overridden_is_in_the_record(monkeypatch):
    monkeypatch.setenv(OVERRIDDEN, "OPENBLAS_CORETYPE=Zen")
    monkeypatch.setattr(dispatch, "read_dispatch", lambda _: dict(EXPECTED))
    assert check_dispatch(ComputeSettings())["overridden"] == "OPENBLAS_CORETYPE=Zen"


@pytest.mark.slow
def test_another_limit_of_onednn_is_found_before_the_job_computes(monkeypatch):
    pytest.importorskip("torch")
    computed = []
    job = SimpleNamespace(stage=SimpleNamespace(name="train", make=computed.append), unit="0-1")
    plan = SimpleNamespace(config=SimpleNamespace(compute=ComputeSettings()))
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "ALL")  # as a library may leave it
    with pytest.raises(NodeError, match="oneDNN reports limit ALL, not limit AVX2"):
        make_units._make(plan, job)
    assert computed == []
