"""Focal loss and class weights."""

import pytest
import torch
from torch.nn.functional import cross_entropy, softmax

from nephroscale.errors import NephroscaleError
from nephroscale.models.losses import balanced_weights, focal_loss, make_criterion
from nephroscale.models.network import cross_entropy_by_patient

LOGITS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
LABELS = torch.tensor([0, 1, 2, 0, 0, 1])


def test_focal_loss_is_the_papers() -> None:
    p = softmax(LOGITS, -1)[torch.arange(6), LABELS]
    torch.testing.assert_close(focal_loss(LOGITS, LABELS, 2.0), -((1 - p) ** 2) * p.log())
    torch.testing.assert_close(focal_loss(LOGITS, LABELS, 0.0), cross_entropy_by_patient(LOGITS, LABELS))
    weight = torch.tensor([1.0, 2.0, 3.0])
    expected = -weight[LABELS] * (1 - p) * p.log()
    torch.testing.assert_close(focal_loss(LOGITS, LABELS, 1.0, weight), expected)


def test_the_gradient_is_finite_for_certain_predictions() -> None:
    logits = torch.tensor([[100.0, -100.0], [-100.0, 100.0]], requires_grad=True)
    focal_loss(logits, torch.tensor([0, 0]), 0.5).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_balanced_weights_give_classes_equal_weight() -> None:
    weights = balanced_weights([6, 3, 1])
    assert [w * n for w, n in zip(weights, (6, 3, 1), strict=True)] == pytest.approx([10 / 3] * 3)
    assert balanced_weights([4, 4]) == [1, 1]
    assert balanced_weights([4, 0]) == [0.5, 2]


def test_criteria() -> None:
    assert make_criterion(counts=[3, 2, 1]) is cross_entropy_by_patient
    weight = torch.tensor(balanced_weights([3, 2, 1]))
    balanced = make_criterion("cross_entropy", "balanced", counts=[3, 2, 1])
    torch.testing.assert_close(balanced(LOGITS, LABELS), cross_entropy(LOGITS, LABELS, weight, reduction="none"))
    focal = make_criterion("focal", "balanced", counts=[3, 2, 1], gamma=1.5)
    torch.testing.assert_close(focal(LOGITS, LABELS), focal_loss(LOGITS, LABELS, 1.5, weight))
    for wrong in (("hinge", "none"), ("focal", "some")):
        with pytest.raises(NephroscaleError, match="There is no loss"):
            make_criterion(*wrong, counts=[1, 1])
