import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.features import registry


def test_each_module_named_is_there():
    for name in registry.ENCODERS:
        chosen = name + "resnet18" if name.endswith(":") else name
        (module,) = registry.modules_of({"name": chosen})
        assert importlib.util.find_spec(module)


def test_pixels_go_through():
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    encoder = registry.create({"name": "pixels", "size_px": 32})
    assert encoder.size_px == 32
    np.testing.assert_array_equal(encoder.encode(images), images)


@pytest.mark.parametrize("name", ["nothing", "timm:", ":", "swin-b:x", ""])
def test_unknown_names_are_refused_with_the_known_ones(name):
    with pytest.raises(NephroscaleError, match="texture"):
        registry.create({"name": name, "size_px": 32})


def test_texture_imports_neither_torch_nor_transformers():
    code = (
        "import sys; from nephroscale.features import registry, features;"
        "registry.create({'name': 'texture', 'size_px': 224});"
        "print(sorted({'torch', 'transformers', 'timm', 'zarr'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
