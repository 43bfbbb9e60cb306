"""The parts of Swin that stand in for those of transformers."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
import torch

from nephroscale.training.precision import compile_block

if TYPE_CHECKING:
    from types import ModuleType

pytestmark = pytest.mark.slow  # transformers is imported, and not before these tests run

LAYOUT = {"embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "image_size": 56, "window_size": 7}


@pytest.fixture
def swin() -> ModuleType:
    from nephroscale.models.encoders import swin

    return swin


def network(swin: ModuleType, **changes: Any) -> Any:
    from nephroscale.features.encoders.huggingface import build_network

    torch.manual_seed(0)
    made: Any = build_network({"kind": "swin", "layout": {**LAYOUT, **changes}, "mean": [0.5] * 3, "std": [0.5] * 3})
    for block in swin.blocks(made.network):
        torch.nn.init.normal_(block.attention.relative_position_bias.relative_position_bias_table)
    return made.network.eval()


def passed(inner: Any, images: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    inner.zero_grad()
    maps = inner(pixel_values=images).last_hidden_state
    maps.square().sum().backward()
    return maps.detach(), {name: p.grad.clone() for name, p in inner.named_parameters()}


def test_maps_and_gradients_are_those_of_transformers(swin: ModuleType) -> None:
    theirs = network(swin)
    ours = deepcopy(theirs)
    swin.adapt(ours)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    images = torch.rand(3, 3, 56, 56)
    (a, before), (b, after) = passed(theirs, images), passed(ours, images)
    torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-5)
    for name, gradient in before.items():
        if "k_proj.bias" not in name:  # zero but for rounding: the softmax does not see it
            torch.testing.assert_close(after[name], gradient, rtol=2e-2, atol=1e-3 * float(gradient.abs().max()))


def test_the_gradient_of_the_position_bias_is_allowed_in_deterministic_mode(swin: ModuleType) -> None:
    inner = network(swin)
    swin.adapt(inner)
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        passed(inner, torch.rand(2, 3, 56, 56))
    finally:
        torch.set_deterministic_debug_mode(before)


def test_stochastic_depth_drops_whole_images_and_keeps_the_mean(swin: ModuleType) -> None:
    layer = swin.StochasticDepth(0.25)
    torch.manual_seed(1)
    branch = layer(torch.ones(4000, 3))
    assert branch.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert bool((branch == branch[:, :1]).all())
    assert float(branch.mean()) == pytest.approx(1, abs=0.03)
    assert torch.equal(layer.eval()(torch.ones(5, 3)), torch.ones(5, 3))


def test_blocks_of_one_kind_share_compiled_code(swin: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs: list[object] = []
    compile_ = torch.compile

    def counted(graph: Any, _inputs: object) -> Any:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(
        torch, "compile", lambda f, *, options, **rest: compile_(f, backend=counted, **rest) if options else f
    )
    inner = network(swin, drop_path_rate=0.3, depths=[2, 4], image_size=112)
    swin.adapt(inner)
    plain = deepcopy(inner)
    for block in swin.blocks(inner):
        compile_block(block)
    with torch.no_grad():
        for count in (3, 5, 2):
            images = torch.rand(count, 3, 112, 112)
            ours, expected = (each(pixel_values=images).last_hidden_state for each in (inner, plain))
            torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    assert len(swin.blocks(inner)) == 6
    assert len(graphs) == 4  # two widths, with windows shifted and not; any number of images
