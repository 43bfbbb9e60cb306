"""Sparse multi-instance learning compared with a plain implementation, and faults 2 and 3 of the released code."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nephroscale.models.smil import SparseMultiInstance, bag_distances, select_instances

SHAPE = (2, 2, 3)


def bag(*offsets: float, direction: int = 0) -> np.ndarray:
    """Instances on a line."""
    instances = np.zeros((len(offsets), *SHAPE), np.float32)
    instances[:, 0, 0, direction] = offsets
    return instances


def padded(*bags: np.ndarray, length: int = 0, fill: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    length = max(length, *map(len, bags))
    features = np.full((len(bags), length, *SHAPE), fill, np.float32)
    mask = np.zeros((len(bags), length), bool)
    for i, instances in enumerate(bags):
        features[i, : len(instances)], mask[i, : len(instances)] = instances, True
    return torch.from_numpy(features), torch.from_numpy(mask)


def written(instances: np.ndarray, threshold: float) -> tuple[int, set[int], np.ndarray, float]:
    """CMUSNET.md's five steps, one by one, in NumPy and float64."""
    flat = instances.reshape(len(instances), -1).astype(float)
    flat = (flat - flat.min()) / (flat.max() - flat.min())
    n = len(flat)
    distances = np.array([[np.sqrt(((a - b) ** 2).sum()) for b in flat] for a in flat])
    centre = int(distances.sum(1).argmin())
    mean = float(np.mean([distances[i, np.arange(n) != i].mean() for i in range(n)]))
    kept = {i for i in range(n) if distances[centre, i] <= threshold * mean}
    others = sorted(kept - {centre})
    nearness = 1 / (distances[centre, others] + 1e-8)
    weight = np.zeros(n)
    weight[centre] = 1
    weight[others] = (nearness - nearness.min()) / (nearness.max() - nearness.min()) if len(others) > 1 else 1
    return centre, kept, weight, mean


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(3, 8), min_size=1, max_size=3), st.sampled_from([0.9, 1.2, 1.5]))
def test_selection_is_the_written_one_whatever_the_padding(seed: int, sizes: list[int], threshold: float) -> None:
    generator = np.random.default_rng(seed)
    bags = [
        generator.normal(size=(n, *SHAPE)).astype(np.float32) * generator.uniform(0.2, 3, (n, 1, 1, 1)) for n in sizes
    ]
    bags = [instances.astype(np.float32) for instances in bags]
    features, mask = padded(*bags, length=9, fill=100.0)
    pooled, chosen = SparseMultiInstance(threshold)(features, mask)
    for i, instances in enumerate(bags):
        centre, kept, weight, mean = written(instances, threshold)
        assert chosen.centre[i] == centre
        assert set(chosen.kept[i].nonzero().flatten().tolist()) == kept
        np.testing.assert_allclose(chosen.weight[i, : len(weight)], weight, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(chosen.mean_distance[i], mean, rtol=1e-12)
        np.testing.assert_allclose(pooled[i], np.tensordot(weight, instances, 1), rtol=1e-5, atol=1e-5)
        assert not chosen.weight[i, len(weight) :].any()
        assert not chosen.distance[i, len(weight) :].any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.permutations(range(6)))
def test_the_order_of_instances_does_not_matter(seed: int, order: list[int]) -> None:
    instances = np.random.default_rng(seed).normal(size=(6, *SHAPE)).astype(np.float32)
    instances[0] += 5  # an outlier, now before and now after the centre
    one, other = (select_instances(*padded(x)) for x in (instances, instances[order]))
    assert order[int(other.centre)] == one.centre
    torch.testing.assert_close(other.weight[0], one.weight[0][order])


def test_distances_are_exact_where_the_matrix_form_is_not() -> None:
    generator = np.random.default_rng(0)
    instances = (1000 + generator.normal(size=(1, 4, 7, 7, 64))).astype(np.float32)
    mask = torch.ones(1, 4, dtype=torch.bool)
    span = instances.max().astype(float) - instances.min()
    flat = instances[0].reshape(4, -1).astype(float)
    expected = np.sqrt(((flat[:, None] - flat[None]) ** 2).sum(-1)) / span
    np.testing.assert_allclose(bag_distances(torch.from_numpy(instances), mask)[0], expected, rtol=1e-12)


def test_fault_2_a_dropped_instance_before_the_centre_shifts_nothing() -> None:
    features, mask = padded(bag(50, 1, 2, 3.5, 2.4))
    ours = select_instances(features, mask)
    assert ours.centre.item() == 4
    assert ours.kept[0].tolist() == [False, True, True, True, True]
    after, _ = padded(bag(1, 2, 3.5, 2.4, 50))
    torch.testing.assert_close(ours.weight[0, 1:], select_instances(after, mask).weight[0, :4])
    released = select_instances(features, mask, released=True)
    assert released.weight[0, 1:4].max() < 1e-6, "the released code lets the others vanish"


def test_fault_2_released_gives_weight_1_to_the_instance_in_the_centres_place() -> None:
    # Kept are 1, 2, 3, 4; the centre is 2, whose place among the kept is 1; place 2 among them is instance 3.
    features, mask = padded(bag(50, 1, 2, 2.5, 3.4))
    released = select_instances(features, mask, released=True)
    assert released.centre.item() == 3
    assert released.weight[0, 3] == pytest.approx(1)
    assert released.weight[0, 4] == 1
    assert released.weight[0, 1:3].max() < 1e-6


@pytest.mark.parametrize("released", [False, True])
def test_fault_3_small_bags(released: bool) -> None:
    empty = bag()
    bags = [bag(3), bag(3, 4), bag(0, 1, 2), bag(5, 5, 5), bag(0, 0, 4, 4.5), empty]
    pooled, chosen = SparseMultiInstance(released=released)(*padded(*bags))
    assert pooled.isfinite().all()
    np.testing.assert_array_equal(pooled[0], bags[0][0], err_msg="one instance is itself")
    assert chosen.weight[1, :2].tolist() == [1, 1], "a lone neighbour weighs 1"
    assert chosen.weight[2, :3].tolist() == [1, 1, 1], "equidistant neighbours weigh 1"
    assert chosen.weight[3, :3].tolist() == [1, 1, 1], "all alike"
    assert chosen.weight[4, :2].tolist() == [1, 1], "a duplicate of the centre is counted"
    assert not chosen.weight[5].any()
    assert not chosen.kept[5].any()


def test_fault_3_patients_do_not_affect_each_other() -> None:
    generator = np.random.default_rng(1)
    bags = [generator.normal(size=(n, *SHAPE)).astype(np.float32) for n in (4, 1, 2, 5)]
    together, chosen = SparseMultiInstance()(*padded(*bags))
    for i, instances in enumerate(bags):
        alone, alone_chosen = SparseMultiInstance()(*padded(instances))
        torch.testing.assert_close(together[i], alone[0])
        torch.testing.assert_close(chosen.weight[i, : len(instances)], alone_chosen.weight[0])


def test_distances_that_differ_by_rounding_count_as_equal() -> None:
    generator = np.random.default_rng(2)
    middle, step = generator.normal(size=(2, *SHAPE))
    instances = np.stack([middle - step, middle, middle + step]).astype(np.float32)
    assert select_instances(*padded(instances)).weight[0].tolist() == [1, 1, 1]


def test_weights_are_constants_to_the_gradient() -> None:
    features, mask = padded(np.random.default_rng(3).normal(size=(5, *SHAPE)).astype(np.float32))
    features.requires_grad_(True)
    pooled, chosen = SparseMultiInstance()(features, mask)
    pooled.sum().backward()
    assert features.grad is not None
    torch.testing.assert_close(features.grad[0, :, 0, 0, 0], chosen.weight[0].float())


def test_nothing_depends_on_a_value_of_the_device() -> None:
    """The meta device has no values, so reading one raises an error."""
    features, mask = padded(bag(1, 2), bag(3))
    for released in (False, True):
        pooled, chosen = SparseMultiInstance(released=released)(features.to("meta"), mask.to("meta"))
        assert pooled.shape == (2, *SHAPE)
        assert chosen.weight.shape == (2, 2)


def test_a_prior_multiplies_the_weights_and_keeps_their_sum() -> None:
    features, mask = padded(bag(0, 1, 2, 4), bag(3, 4))
    plain, chosen = SparseMultiInstance()(features, mask)
    constant, same = SparseMultiInstance()(features, mask, torch.full(mask.shape, 0.3))
    np.testing.assert_allclose(constant, plain, rtol=1e-6)
    np.testing.assert_allclose(same.weight, chosen.weight, rtol=1e-6)
    prior = torch.tensor([[0.1, 0.9, 0.5, 1.0], [0.2, 0.8, 1.0, 1.0]])
    pooled, weighed = SparseMultiInstance()(features, mask, prior)
    np.testing.assert_allclose(weighed.weight.sum(1), chosen.weight.sum(1))
    expected = chosen.weight * prior
    np.testing.assert_allclose(weighed.weight[0] / weighed.weight[0].max(), expected[0] / expected[0].max(), rtol=1e-6)
    np.testing.assert_allclose(pooled, (features * weighed.weight.float()[:, :, None, None, None]).sum(1), rtol=1e-6)
    assert not weighed.weight[~mask].any()
