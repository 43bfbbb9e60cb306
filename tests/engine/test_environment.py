import platform
from importlib.metadata import packages_distributions

import pytest

from nephroscale.engine.environment import DISTRIBUTIONS, instruction_set, package_versions


def test_the_instruction_set_is_the_one_that_torch_uses(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    assert instruction_set() == torch.backends.cpu.get_cpu_capability().replace("NO AVX", "DEFAULT")
    assert instruction_set("AVX2") == "AVX2"


def test_packages_are_named_by_the_distributions_that_decide_what_comes_out():
    versions = package_versions(["cv2", "numpy", "openslide", "tifffile", "yaml", "zarr"])
    assert list(versions) == sorted(
        ["python", "opencv-python-headless", "numpy", "openslide-python", "openslide-bin", "tifffile", "imagecodecs",
         "PyYAML", "zarr", "numcodecs"]
    )  # fmt: skip
    assert versions["python"] == platform.python_version()
    assert "absent" not in versions.values()


def test_a_package_that_is_not_installed_is_absent():
    assert package_versions(["no_such_package"])["no_such_package"] == "absent"


def test_the_known_distributions_are_those_that_the_installed_metadata_names():
    found = packages_distributions()
    assert {name: [distribution] for name, distribution in DISTRIBUTIONS.items()} == {
        name: sorted(set(found[name])) for name in DISTRIBUTIONS
    }
