"""The optimizer of the networks, and the gradients that it reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nephroscale.training.settings import TrainSettings


def make_optimizer(network: torch.nn.Module, settings: TrainSettings) -> torch.optim.Adam:
    """Make the paper's optimizer, Adam with amsgrad, for the trainable parameters, in one fused kernel."""
    trainable = [p for p in network.parameters() if p.requires_grad]
    on_gpu = bool(trainable) and trainable[0].is_cuda
    return (torch.optim.Adam if on_gpu else AdamOnCpu)(
        trainable,
        lr=torch.tensor(settings.learning_rate, device=trainable[0].device) if on_gpu else settings.learning_rate,
        weight_decay=settings.weight_decay,
        amsgrad=True,
        fused=True,  # the other forms call torch.sqrt, which differs between processors
        capturable=on_gpu,
    )


class AdamOnCpu(torch.optim.Adam):
    """torch's fused Adam with amsgrad, which counts the steps of all parameters by one addition.

    torch adds 1 to the count of each parameter, by six operators on a CPU. Here the counts are elements of one tensor.
    The updates are equal to the last bit.
    """

    _counts: Tensor | None = None

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update the parameters that have a gradient."""
        assert closure is None, "no training passes one"
        (group,) = self.param_groups
        moved = [i for i, weight in enumerate(group["params"]) if weight.grad is not None]
        weights = [group["params"][i] for i in moved]
        if not weights:
            return
        states = [self.state[weight] for weight in weights]
        if self._counts is None or not all(states):
            self._join_counts()
        counts = self._counts
        assert counts is not None
        if len(moved) == len(group["params"]):
            counts.add_(1)
        else:
            counts.index_add_(0, torch.tensor(moved), torch.ones(len(moved)))
        beta1, beta2 = group["betas"]
        torch._fused_adam_(
            weights,
            [weight.grad for weight in weights],
            *([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step")),
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=True,
            maximize=False,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state of an optimizer, whose counts are joined at the next step."""
        super().load_state_dict(state_dict)
        self._counts = None

    def _join_counts(self) -> None:
        """Make the state of new parameters, and all counts elements of one tensor."""
        weights = self.param_groups[0]["params"]
        counts = torch.zeros(len(weights))
        for weight, count in zip(weights, counts.unbind(), strict=True):
            state = self.state[weight]
            if state:
                count.copy_(state["step"])
            elif weight.grad is not None:
                state.update({name: torch.zeros_like(weight) for name in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")})
            else:
                del self.state[weight]
                continue
            state["step"] = count
        self._counts = counts


def set_gradients(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """Compute the gradient of the loss for each parameter of an optimizer; None where the loss does not depend on it.

    `loss.backward()` gives the same gradients, but adds each to the last step's by operators of its own.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for weight, gradient in zip(weights, torch.autograd.grad(loss, weights, allow_unused=True), strict=True):
        if gradient is not None and gradient.stride() != weight.stride():  # the fused optimizer needs equal layouts
            weight.grad = torch.empty_like(weight, requires_grad=False).copy_(gradient)
        else:
            weight.grad = gradient
