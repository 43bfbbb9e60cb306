import numpy as np
import pytest
import torch

from nephroscale.evaluation.deletion import DRAWS, choose_regions
from nephroscale.models.batch import Batch
from nephroscale.models.registry import build
from support.networks import ALL, model_settings

torch.set_num_threads(1)
SHAPE = (3, 3, 8)


def network(**options):
    torch.manual_seed(3)
    return build(model_settings("cmusnet", ALL, hidden=8, **options), dict.fromkeys(ALL, SHAPE), 3).eval()


def batch(features):
    mask = {name: torch.ones(1, bag.shape[1], dtype=torch.bool) for name, bag in features.items()}
    return Batch.of(features, mask, torch.tensor([0]))


def random_features():
    generator = torch.Generator().manual_seed(4)
    return {name: torch.randn(1, 3 if name == "TEM" else 1, *SHAPE, generator=generator) for name in ALL}


@pytest.mark.slow
@pytest.mark.parametrize("modality", ["OM", "IM"])
def test_a_deleted_region_becomes_the_mean_of_the_others(modality):
    model, features = network(), random_features()
    regions = torch.zeros(2, 9, dtype=torch.bool)
    regions[1, [0, 5]] = True
    with torch.inference_mode():
        found = model.without_regions(batch(features), modality, regions).logits["fusion"]
        whole = model(batch(features)).logits["fusion"]
        tokens = features[modality].reshape(9, 8)
        tokens[[0, 5]] = tokens[[1, 2, 3, 4, 6, 7, 8]].mean(0)
        edited = model(batch(features)).logits["fusion"]
    torch.testing.assert_close(found, torch.cat([whole, edited]))
    assert (whole - edited).abs().max() > 1e-3


def test_the_highest_regions_come_first_and_random_ones_are_as_many():
    attention = np.array([0.1, 0.4, 0.2, 0.3])
    chosen = choose_regions(attention, 2, "P1OM")
    assert chosen.shape == (1 + DRAWS, 4)
    assert chosen[0].tolist() == [False, True, False, True]
    assert (chosen.sum(1) == 2).all()
    assert len({tuple(row) for row in chosen[1:].tolist()}) > 3
    assert (choose_regions(attention, 2, "P1OM") == chosen).all()
    assert (choose_regions(attention, 2, "P2OM") != chosen).any()
