import os
import platform
from importlib.metadata import packages_distributions

import pytest

from nephroscale.engine import environment
from nephroscale.engine.environment import (
    DISTRIBUTIONS,
    OVERRIDDEN,
    PINS,
    numerical_environment,
    package_versions,
    processor_class,
    set_numerical_environment,
)
from nephroscale.engine.settings import ComputeSettings
from nephroscale.stages.registry import stage_table

NATIVE = ComputeSettings(instruction_set="native")
SKYLAKE = "fma avx2 avx512f avx512vl avx512bw avx512dq avx512cd"
ICE_LAKE = f"{SKYLAKE} avx512ifma avx512vbmi avx512_vnni avx512_vbmi2 avx512_bitalg avx512_vpopcntdq"


@pytest.fixture
def processor(monkeypatch):
    """A function that pretends another processor, without pins."""
    monkeypatch.setattr(os, "environ", {})

    def pretend(maker: str, flags: str) -> None:
        monkeypatch.setattr(environment, "_processor", lambda: (maker, frozenset(flags.split())))

    return pretend


@pytest.mark.parametrize(
    ("maker", "flags", "expected"),
    [
        ("AMD", "fma avx2", "AMD-AVX2"),
        ("Intel", "fma avx2", "Intel-AVX2"),
        ("Intel", "avx2", "Intel-DEFAULT"),
        ("Intel", SKYLAKE, "Intel-AVX512"),
        ("AMD", ICE_LAKE, "AMD-AVX512_ICL"),
        ("Intel", f"{ICE_LAKE} avx512_fp16", "Intel-AVX512_SPR"),
    ],
)
def test_native_is_a_class_of_processors_in_the_recipe_and_portable_is_not(processor, maker, flags, expected):
    processor(maker, flags)
    assert numerical_environment(NATIVE, on_device=False)["instruction_set"] == expected
    assert numerical_environment(ComputeSettings(), on_device=False)["instruction_set"] == "portable"


def test_a_plan_for_other_processors_names_their_class(processor):
    processor("Intel", SKYLAKE)
    others = ComputeSettings(instruction_set="native", processor="AMD-AVX2")
    assert numerical_environment(others, on_device=False)["instruction_set"] == "AMD-AVX2"
    assert (
        numerical_environment(ComputeSettings(processor="AMD-AVX2"), on_device=False)["instruction_set"] == "portable"
    )


def test_the_device_counts_only_where_a_stage_computes_on_it():
    on_cpu, on_gpu = ComputeSettings(), ComputeSettings(device="cuda")
    assert numerical_environment(on_cpu, on_device=False) == numerical_environment(on_gpu, on_device=False)
    assert numerical_environment(on_cpu, on_device=True) != numerical_environment(on_gpu, on_device=True)
    assert {name for name, stage in stage_table().items() if stage.torch and not stage.on_device} == {
        *("segmenter", "segmenter_im", "segmenter_check", "glomeruli")
    }


def test_a_limit_that_somebody_has_set_is_part_of_the_class(processor):
    processor("AMD", "fma avx2")
    os.environ["OPENBLAS_CORETYPE"] = "Zen"
    assert processor_class() == "AMD-AVX2 OPENBLAS_CORETYPE=Zen"


def test_the_class_of_this_machine_is_the_one_that_torch_and_numpy_see(monkeypatch):
    torch = pytest.importorskip("torch")
    features = pytest.importorskip("numpy._core._multiarray_umath").__cpu_features__
    monkeypatch.setattr(os, "environ", {})
    level = processor_class().rpartition("-")[2]
    assert features["AVX2"] == (level != "DEFAULT")
    assert torch.cpu._is_avx512_supported() == level.startswith("AVX512")


def test_portable_pins_every_library_and_keeps_what_it_overrides_for_the_record(processor):
    processor("Intel", SKYLAKE)
    os.environ["OPENBLAS_CORETYPE"] = "Zen"
    assert set_numerical_environment({})
    assert {name: os.environ[name] for name in PINS} == PINS
    assert os.environ["NPY_DISABLE_CPU_FEATURES"] == "X86_V3 X86_V4"
    assert os.environ[OVERRIDDEN] == "OPENBLAS_CORETYPE=Zen"
    assert not set_numerical_environment({})


@pytest.mark.parametrize("preset", ["AVX512_SPR", "X86_V4", "X86_V3 AVX512_ICL"])
def test_features_of_numpy_that_somebody_has_disabled_are_overridden_and_recorded(processor, preset):
    processor("AMD", "fma avx2")
    os.environ["NPY_DISABLE_CPU_FEATURES"] = preset
    set_numerical_environment({})
    assert os.environ["NPY_DISABLE_CPU_FEATURES"] == "X86_V3"
    assert os.environ[OVERRIDDEN] == f"NPY_DISABLE_CPU_FEATURES={preset}"


def test_a_pin_inherited_from_another_processor_is_not_recorded(processor):
    processor("Intel", f"{ICE_LAKE} avx512_fp16")
    set_numerical_environment({})
    assert os.environ["NPY_DISABLE_CPU_FEATURES"] == "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"
    processor("AMD", "fma avx2")
    set_numerical_environment({})
    assert os.environ["NPY_DISABLE_CPU_FEATURES"] == "X86_V3"
    assert OVERRIDDEN not in os.environ


def test_features_that_the_processor_lacks_are_not_named(processor):
    processor("AMD", "fma avx2")
    set_numerical_environment({"threads": 2})
    assert os.environ["NPY_DISABLE_CPU_FEATURES"] == "X86_V3"
    assert "OPENCV_CPU_DISABLE" not in os.environ
    assert os.environ["OMP_NUM_THREADS"] == "2"


def test_native_pins_nothing(processor):
    processor("AMD", "fma avx2")
    set_numerical_environment({"instruction_set": "native"})
    assert not PINS.keys() & os.environ.keys()


def test_packages_are_named_by_the_distributions_that_decide_what_comes_out():
    versions = package_versions(("cv2", "numpy", "openslide", "tifffile", "yaml", "zarr"))
    assert list(versions) == sorted(
        ["python", "opencv-python-headless", "numpy", "openslide-python", "openslide-bin", "tifffile", "imagecodecs",
         "PyYAML", "zarr", "numcodecs"]
    )  # fmt: skip
    assert versions["python"] == platform.python_version()
    assert "absent" not in versions.values()


def test_a_package_that_is_not_installed_is_absent():
    assert package_versions(("no_such_package",))["no_such_package"] == "absent"


def test_the_known_distributions_are_those_that_the_installed_metadata_names():
    found = packages_distributions()
    assert {name: [distribution] for name, distribution in DISTRIBUTIONS.items()} == {
        name: sorted(set(found[name])) for name in DISTRIBUTIONS
    }
