"""The head for ordered classes."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from nephroscale.models.batch import Batch, Output
from nephroscale.models.ordinal import class_log_probabilities, ordinal_log_probabilities, ordinal_loss
from support.networks import build_network

MAPS = {"TEM": (2, 2, 8), "OM": (2, 2, 8), "IM": (2, 2, 8)}


def logits() -> torch.Tensor:
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(2)) * 3


def batch(second: list[int] | None = None) -> Batch:
    generator = torch.Generator().manual_seed(0)
    features = {name: torch.randn(4, 1, *shape, generator=generator) for name, shape in MAPS.items()}
    masks = {name: torch.ones(4, 1, dtype=torch.bool) for name in MAPS}
    other = None if second is None else torch.tensor(second)
    return Batch.of(features, masks, torch.tensor([0, 1, 2, 3]), list("abcd"), other)


def network(**settings):
    return build_network(MAPS, 4, **{"hidden": 6, **settings})


def test_probabilities_sum_to_one_and_exceedance_never_increases() -> None:
    chances = ordinal_log_probabilities(logits()).exp()
    torch.testing.assert_close(chances.sum(1), torch.ones(6, dtype=torch.float64))
    beyond = 1 - chances.cumsum(1)
    assert (beyond.diff(dim=1) <= 1e-12).all()
    by_hand = torch.sigmoid(logits().double())
    torch.testing.assert_close(chances[:, 2], by_hand[:, 0] * by_hand[:, 1] * (1 - by_hand[:, 2]))


def test_extreme_logits_stay_finite() -> None:
    found = ordinal_log_probabilities(torch.tensor([[200.0, -200.0, 200.0]]))
    assert torch.isfinite(found).all()
    assert found.argmax() == 1


@pytest.mark.parametrize("label", [0, 1, 2, 3])
def test_the_loss_is_the_negative_log_likelihood_of_the_class(label: int) -> None:
    given, labels = logits(), torch.full((6,), label)
    expected = -ordinal_log_probabilities(given)[:, label].sum()
    torch.testing.assert_close(ordinal_loss(given, labels).double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_training_learns_the_order_of_the_classes() -> None:
    torch.manual_seed(0)
    place = torch.linspace(0, 3.99, 64)[:, None]
    labels = place.flatten().long()
    layer = torch.nn.Linear(1, 3)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.3)
    for _ in range(300):
        optimizer.zero_grad()
        ordinal_loss(layer(place), labels).backward()
        optimizer.step()
    assert (ordinal_log_probabilities(layer(place)).argmax(1) == labels).float().mean() > 0.9


def test_the_head_reads_the_fusion_and_leaves_the_softmax_as_it_was() -> None:
    plain, ordered = network(), network(ordinal=True)
    assert "ordinal" not in plain(batch()).extra
    output = ordered(batch())
    assert output.extra["ordinal"].shape == (4, 3)
    torch.testing.assert_close(output.logits["fusion"], plain(batch()).logits["fusion"])


def test_its_loss_joins_the_weighted_sum() -> None:
    weights = {"ordinal": 0.7}
    model = network(ordinal=True, loss_weights=weights)
    output, labels = model(batch()), batch().labels
    rest = network().loss(output=Output(output.logits), labels=labels)
    expected = rest + 0.7 * ordinal_loss(output.extra["ordinal"], labels)
    torch.testing.assert_close(model.loss(output, labels), expected)


def test_a_patient_between_two_classes_counts_half_for_each() -> None:
    model = network()
    output = model(batch())
    given = batch(second=[1, 1, 2, 3])
    soft = torch.eye(4)
    soft[0] = torch.tensor([0.5, 0.5, 0, 0])
    weights = {"fusion": 1, "OM": 0.3, "IM": 0.5, "TEM": 0.2}
    expected = sum(w * cross_entropy(output.logits[name], soft, reduction="sum") for name, w in weights.items())
    torch.testing.assert_close(model.batch_loss(output, given), expected)
    torch.testing.assert_close(model.batch_loss(output, batch()), model.loss(output, batch().labels))


def test_the_reported_head_is_configurable() -> None:
    output = network(ordinal=True)(batch())
    softmax = torch.softmax(output.logits["fusion"].double(), 1)
    ordinal = ordinal_log_probabilities(output.extra["ordinal"]).exp()
    for choice, expected in {"softmax": softmax, "ordinal": ordinal, "mean": (softmax + ordinal) / 2}.items():
        torch.testing.assert_close(class_log_probabilities(output, choice).exp(), expected)
    without = Output({"fusion": output.logits["fusion"]})
    torch.testing.assert_close(class_log_probabilities(without, "ordinal").exp(), softmax)
