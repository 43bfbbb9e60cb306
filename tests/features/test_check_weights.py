from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from nephroscale.features.check_weights import check_encoders
from nephroscale.features.known_encoders import KNOWN
from nephroscale.features.registry import modules_of
from nephroscale.features.settings import EncoderSettings
from nephroscale.features.weights import digest_weights


def verdict(settings):
    (entry,) = check_encoders({"features.encoders.OM": settings})
    return entry


def test_a_filter_bank_needs_nothing():
    assert verdict(EncoderSettings("texture", None)).usable


def test_missing_weights_are_listed_with_licence_and_source(tmp_path):
    for weights in (None, str(tmp_path / "absent.safetensors")):
        entry = verdict(EncoderSettings("swin-b", weights, None))
        assert not entry.usable
        assert "microsoft/swin-base-patch4-window7-224" in entry.verdict
        assert "Apache-2.0" in entry.verdict


def test_weights_need_the_digest_that_is_named(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"w": np.zeros(2, np.float32)}, path)
    digest = digest_weights(path)
    assert verdict(EncoderSettings("swin-b", str(path), digest.upper())).usable
    assert digest in verdict(EncoderSettings("swin-b", str(path), None)).verdict
    other = verdict(EncoderSettings("swin-b", str(path), "0" * 64))
    assert not other.usable
    assert digest in other.verdict


def test_every_encoder_is_checked_in_its_place():
    entries = check_encoders({"a": EncoderSettings("texture"), "b": EncoderSettings("swin-b")})
    assert [(entry.where, entry.usable) for entry in entries] == [("a", True), ("b", False)]


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.title)
def test_known_encoders_can_be_named_in_a_configuration(known):
    assert modules_of(EncoderSettings(known.encoder))
