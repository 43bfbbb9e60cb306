from pathlib import Path

import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.features.weights import digest_weights, require_digest


def test_weights_without_digest_are_refused_with_the_digest(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"weights")
    with pytest.raises(NephroscaleError, match=digest_weights(path)) as raised:
        require_digest(str(path), None, where="features.encoders.OM")
    assert "features.encoders.OM" in str(raised.value)
    with pytest.raises(NephroscaleError, match="weights digest PATH"):
        require_digest(str(tmp_path / "absent"), None, where="features.encoders.OM")


def test_no_weights_need_no_digest(tmp_path: Path) -> None:
    require_digest(None, None, where="features.encoders.OM")
    require_digest(str(tmp_path), "0" * 64, where="features.encoders.OM")
