"""The optimizer on a CPU updates weights as torch's own, whatever has a gradient, and after its state is loaded."""

import copy

import pytest
import torch

from nephroscale.training.optimizer import AdamOnCpu, make_optimizer, set_gradients
from nephroscale.training.settings import TrainSettings


def make_weights() -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(3)
    shapes = ((7,), (5, 3), (4, 3, 3, 3), (1,), ())
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def set_random_gradients(weights: list[torch.nn.Parameter], step: int, missing: set[int]) -> None:
    generator = torch.Generator().manual_seed(step)
    for number, weight in enumerate(weights):
        gradient = torch.randn(weight.shape, generator=generator)
        weight.grad = None if number in missing else gradient


@pytest.mark.parametrize("loaded_at", [None, 4])
def test_weights_are_equal_to_those_of_torch_s_adam(loaded_at: int | None) -> None:
    both = [make_weights(), make_weights()]
    options = {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True, "fused": True}
    ours, theirs = AdamOnCpu(both[0], **options), torch.optim.Adam(both[1], **options)
    for step in range(12):
        if step == loaded_at:
            state = copy.deepcopy(ours.state_dict())
            ours = AdamOnCpu(both[0], **options)
            ours.load_state_dict(state)
        # The second has its first gradient late; at step 7 none has one.
        missing = {0: {1}, 1: {1, 4}, 2: {1}, 5: {0, 2}, 7: {0, 1, 2, 3, 4}}.get(step, set())
        for weights, optimizer in zip(both, (ours, theirs), strict=True):
            set_random_gradients(weights, step, missing)
            optimizer.step()
        for number, (own, other) in enumerate(zip(*both, strict=True)):
            assert torch.equal(own, other), (step, number)
    counts = [float(ours.state[weight]["step"]) for weight in both[0]]
    assert counts == [float(theirs.state[weight]["step"]) for weight in both[1]] == [10, 8, 10, 11, 10]


def test_gradients_are_those_of_backward_and_absent_where_the_loss_does_not_depend_on_a_weight() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(16, 2))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.register_parameter("unused", torch.nn.Parameter(torch.ones(3)))
    images = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    network(images).square().sum().backward()
    expected = {name: weight.grad for name, weight in network.named_parameters()}
    set_gradients(network(images).square().sum(), make_optimizer(network, TrainSettings()))
    for name, weight in network.named_parameters():
        if name == "unused":
            assert weight.grad is None
        else:
            assert weight.grad is not None
            assert torch.equal(weight.grad, expected[name])
            assert weight.grad.stride() == weight.stride()
