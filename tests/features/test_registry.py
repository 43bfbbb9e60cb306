import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.features import registry
from nephroscale.features.settings import EncoderSettings


def test_every_named_module_exists():
    for name in registry.ENCODERS:
        chosen = name + "resnet18" if name.endswith(":") else name
        (module,) = registry.modules_of(EncoderSettings(chosen))
        assert importlib.util.find_spec(module)


def test_pixels_are_returned_unchanged():
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    encoder = registry.create(EncoderSettings("pixels", size_px=32))
    assert encoder.size_px == 32
    np.testing.assert_array_equal(encoder.encode(images), images)


@pytest.mark.parametrize("name", ["nothing", "timm:", ":", "swin-b:x", ""])
def test_an_unknown_name_is_an_error_that_lists_the_known(name):
    with pytest.raises(NephroscaleError, match="texture"):
        registry.create(EncoderSettings(name, size_px=32))


def test_texture_imports_neither_torch_nor_transformers():
    code = (
        "import sys; from nephroscale.features import registry, features, settings;"
        "registry.create(settings.EncoderSettings('texture'));"
        "print(sorted({'torch', 'transformers', 'timm', 'zarr'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
