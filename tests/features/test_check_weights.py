from __future__ import annotations

import pytest

from nephroscale.features.check_weights import take_inventory
from nephroscale.features.known_encoders import KNOWN
from nephroscale.features.registry import modules_of
from nephroscale.features.weights import digest_weights


def verdict(settings):
    config = {"features": {"encoders": {"OM": settings}}, "models": {"net": {"encoder": None}}}
    (entry,) = take_inventory(config)
    return entry


def test_a_filter_bank_needs_nothing():
    assert verdict({"name": "texture", "weights": None}).sound


def test_missing_weights_are_told_with_licence_and_source(tmp_path):
    for weights in (None, str(tmp_path / "absent.safetensors")):
        entry = verdict({"name": "swin-b", "weights": weights, "digest": None})
        assert not entry.sound
        assert "microsoft/swin-base-patch4-window7-224" in entry.verdict
        assert "Apache-2.0" in entry.verdict


def test_weights_that_are_there_have_to_be_those_that_are_meant(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"weights")
    digest = digest_weights(path)
    assert verdict({"name": "swin-b", "weights": str(path), "digest": digest.upper()}).sound
    assert digest in verdict({"name": "swin-b", "weights": str(path), "digest": None}).verdict
    other = verdict({"name": "swin-b", "weights": str(path), "digest": "0" * 64})
    assert not other.sound
    assert digest in other.verdict


def test_an_encoder_inside_a_model_is_looked_at_too(tmp_path):
    config = {"features": {"encoders": {}}, "models": {"net": {"encoder": {"name": "swin-b", "weights": None}}}}
    (entry,) = take_inventory(config)
    assert entry.where == "models.net.encoder"
    assert not entry.sound


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.title)
def test_what_is_known_can_be_named_in_a_configuration(known):
    assert modules_of({"name": known.encoder})
