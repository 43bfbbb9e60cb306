"""Flips."""

import torch

from nephroscale.models.batch import Batch
from nephroscale.training.augment import flip


def test_every_instance_is_mirrored_on_its_own() -> None:
    image = torch.arange(6).reshape(1, 1, 2, 3, 1).expand(40, 3, 2, 3, 1)
    batch = Batch.of({"TEM": image}, {"TEM": torch.ones(40, 3, dtype=torch.bool)}, torch.zeros(40, dtype=torch.long))
    flipped = flip(batch, torch.Generator().manual_seed(0)).features["TEM"]
    seen = {tuple(x.flatten().tolist()) for x in flipped.flatten(0, 1)}
    one = image[0, 0, ..., 0]
    assert seen == {tuple(x.flatten().tolist()) for x in (one, one.flip(0), one.flip(1), one.flip(0, 1))}
    assert any(len({tuple(x.flatten().tolist()) for x in bag}) > 1 for bag in flipped)


def test_the_generator_decides() -> None:
    batch = Batch.of(
        {"OM": torch.randn(4, 1, 3, 3, 2)}, {"OM": torch.ones(4, 1, dtype=torch.bool)}, torch.zeros(4).long()
    )
    one, other = (flip(batch, torch.Generator().manual_seed(5)).features["OM"] for _ in range(2))
    assert torch.equal(one, other)
