import pytest

from nephroscale.features.settings import EncoderSettings, EncodersSettings
from nephroscale.models.settings import ModelSettings, TrainableEncoderSettings
from nephroscale.reporting.report_inputs import UnitOutcome
from nephroscale.reporting.trained import (
    describe_encoder,
    describe_missing_twins,
    describe_own_encoder,
    describe_training,
)
from nephroscale.training.settings import TrainSettings

UNITS = [
    UnitOutcome("cmusnet/fold0-seed1", "accepted", figures={"best_epoch": 9, "parameters": 100}),
    UnitOutcome("cmusnet/fold1-seed1", "accepted", figures={"best_epoch": 4, "parameters": 100}),
    UnitOutcome("cmusnet-2/fold0-seed1", "accepted", figures={"best_epoch": 30, "parameters": 7}),
]


def test_a_model_on_features_has_frozen_encoders():
    encoders = EncodersSettings(OM=EncoderSettings("swin-b", digest="0123456789abcdef"))
    model = ModelSettings(modalities=("TEM", "OM"))
    found = describe_training("cmusnet", model, encoders, TrainSettings(epochs=50), UNITS)
    assert found.encoders == {
        "TEM": "texture (filter bank without weights)",
        "OM": "swin-b (weights 0123456789ab), frozen",
    }
    assert (found.encoder_trained, found.epochs, found.best_epochs, found.parameters) == (False, 50, [4, 9], 100)
    assert found.standardised
    assert not describe_training("cmusnet", model, encoders, TrainSettings(standardise=False), UNITS).standardised


def test_an_encoder_of_the_model_is_fine_tuned():
    encoder = {"name": "small-cnn", "digest": None, "trainable": "last"}
    model = ModelSettings(modalities=("OM", "IM"), options={"encoder": encoder})
    encoders = EncodersSettings(OM=EncoderSettings("pixels"))
    found = describe_training("cmusnet", model, encoders, TrainSettings(), [])
    assert found.encoders["OM"] == "small-cnn (random weights), its last part fine-tuned"
    assert found.encoders["IM"] == "texture (filter bank without weights)"
    assert (found.encoder_trained, found.best_epochs, found.parameters) == (True, [], None)
    assert not found.standardised


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "efficientnet-lite0", "trainable": "all"}, "efficientnet-lite0 (ImageNet weights), fine-tuned"),
        ({"name": "swin-b", "digest": "a" * 64, "trainable": "none"}, "swin-b (weights aaaaaaaaaaaa), frozen"),
    ],
)
def test_weights_of_an_own_encoder(settings, words):
    assert describe_own_encoder(TrainableEncoderSettings(**settings)) == words


def test_features_made_elsewhere_are_called_so():
    assert "does not know" in describe_encoder("h5", None)


def test_a_prior_without_its_twin_is_named():
    with_prior, without = (ModelSettings(options={"tem_prior": wanted, "mc": 5}) for wanted in (True, False))
    (note,) = describe_missing_twins({"a": with_prior, "b": ModelSettings(options={"tem_prior": False})}, "a")
    assert note.startswith("a uses the probability of deposits as a prior")
    assert "tem_prior: false" in note
    assert describe_missing_twins({"a": with_prior, "b": without}, "a") == []
    assert describe_missing_twins({"a": with_prior, "b": without}, "b") == []
    assert describe_missing_twins({"a": ModelSettings()}, "a") == []
