"""Standardised features, in all families alike."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nephroscale.models.batch import Batch
from nephroscale.models.registry import FAMILIES, build
from support.networks import ALL, model_settings

SHAPE = (2, 2, 6)
SCALES = {name: (np.linspace(-3, 5, 6) + place, np.array([0.1, 1, 2, 40, 0.5, 3])) for place, name in enumerate(ALL)}


def make_batch() -> Batch:
    generator = torch.Generator().manual_seed(3)
    mask = {name: torch.tensor([[True, True], [True, False], [True, True]]) for name in ALL}
    mask["IM"][2] = False  # a patient without the modality
    features = {}
    for name in ALL:
        maps = torch.randn((3, 2, *SHAPE), generator=generator)
        mean, deviation = (torch.from_numpy(values.astype("float32")) for values in SCALES[name])
        features[name] = (maps * deviation + mean) * mask[name][:, :, None, None, None]
    return Batch.of(features, mask, torch.tensor([0, 1, 2]), ["P1", "P2", "P3"])


def by_hand(batch: Batch) -> Batch:
    features = {}
    for name, bag in batch.features.items():
        mean, deviation = (torch.from_numpy(values.astype("float32")) for values in SCALES[name])
        features[name] = torch.where(batch.mask[name][:, :, None, None, None], (bag - mean) / deviation, 0.0)
    return replace(batch, features=features)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_that_standardises_equals_one_on_standardised_features(family: str) -> None:
    settings, batch = model_settings(family), make_batch()
    torch.manual_seed(1)
    plain = build(settings, dict.fromkeys(ALL, SHAPE), 3, slots=2).eval()
    torch.manual_seed(1)
    standardising = build(settings, dict.fromkeys(ALL, SHAPE), 3, slots=2, standardise=True).eval()
    assert standardising.standardisation is not None
    standardising.standardisation.set(SCALES)
    expected, found = plain(by_hand(batch)).logits["fusion"], standardising(batch).logits["fusion"]
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert not torch.equal(plain(batch).logits["fusion"], expected)

    buffers = {name for name in standardising.state_dict() if name not in plain.state_dict()}
    assert buffers == {f"standardisation.scales.{name}.{kind}" for name in ALL for kind in ("mean", "deviation")}
    assert sum(1 for _ in standardising.parameters()) == sum(1 for _ in plain.parameters()), "nothing more is learnt"


def test_padding_stays_zero_and_other_tensors_stay() -> None:
    network = build(model_settings(), dict.fromkeys(ALL, SHAPE), 3, standardise=True)
    network.standardisation.set(SCALES)
    batch = make_batch()
    prepared = network.prepare(batch)
    for name in ALL:
        assert not prepared.features[name][~batch.mask[name]].any()
        assert prepared.mask[name] is batch.mask[name]
    assert prepared.labels is batch.labels


def test_a_modality_that_was_not_measured_is_read_as_it_is() -> None:
    network = build(model_settings(), dict.fromkeys(ALL, SHAPE), 3, standardise=True)
    network.standardisation.set({**SCALES, "OM": None})
    batch = make_batch()
    prepared = network.prepare(batch)
    assert torch.equal(prepared.features["OM"], batch.features["OM"])
    assert not torch.equal(prepared.features["TEM"], batch.features["TEM"])


def test_deleted_regions_are_those_of_standardised_maps() -> None:
    shapes = dict.fromkeys(ALL, SHAPE)
    one = replace(make_batch(), ids=("P1",))
    one = one.map(lambda tensor: tensor[:1] if len(tensor) == 3 else tensor)
    one = Batch.of(one.features, one.mask, one.labels, ["P1"])
    regions = torch.tensor([[True, False, False, False], [False, True, True, False]])
    torch.manual_seed(1)
    plain = build(model_settings(), shapes, 3).eval()
    torch.manual_seed(1)
    standardising = build(model_settings(), shapes, 3, standardise=True).eval()
    standardising.standardisation.set(SCALES)
    expected = plain.without_regions(by_hand(one), "OM", regions).logits["fusion"]
    torch.testing.assert_close(standardising.without_regions(one, "OM", regions).logits["fusion"], expected)
