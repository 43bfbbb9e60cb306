"""Cross-modal scale attention compared with a plain implementation, and fault 1 of the released code."""

import pytest
import torch

from nephroscale.models.cmsa import CrossModalScaleAttention


@pytest.fixture
def maps() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 2, 3, 8, generator=generator), torch.randn(2, 2, 3, 8, generator=generator)


def module(*, released: bool = False) -> CrossModalScaleAttention:
    torch.manual_seed(1)
    return CrossModalScaleAttention(8, heads=4, released=released)


def one(
    layer: CrossModalScaleAttention, tem: torch.Tensor, other: torch.Tensor, *, need_attention: bool = False
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The residual of one other modality, and its attention."""
    added, attention = layer(tem, other[:, None], need_attention=need_attention)
    return added[:, 0], None if attention is None else attention[:, 0]


def attended(layer: CrossModalScaleAttention, tem: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """softmax(q k^T / sqrt(C / heads)) v, token by token."""
    tem, other = tem.reshape(2, 6, 8), other.reshape(2, 6, 8)
    q, k, v = tem @ layer.query.weight.T, other @ layer.key.weight.T, other @ layer.value.weight.T
    return torch.softmax(q @ k.transpose(1, 2) / (8 / 4) ** 0.5, -1) @ v


def test_fault_1_default_keeps_tokens_and_channels(maps: tuple[torch.Tensor, torch.Tensor]) -> None:
    layer = module()
    added, attention = one(layer, *maps)
    torch.testing.assert_close(added, layer.projection(attended(layer, *maps)).reshape(2, 2, 3, 8))
    assert attention is None


def test_fault_1_released_mixes_tokens_and_channels(maps: tuple[torch.Tensor, torch.Tensor]) -> None:
    layer = module(released=True)
    scrambled = attended(layer, *maps).transpose(1, 2).reshape(2, 6, 8)
    torch.testing.assert_close(one(layer, *maps)[0], layer.projection(scrambled).reshape(2, 2, 3, 8))
    assert not torch.allclose(one(layer, *maps)[0], one(module(), *maps)[0])


@pytest.mark.parametrize("released", [False, True])
def test_returning_the_attention_does_not_change_the_output(
    maps: tuple[torch.Tensor, torch.Tensor], released: bool
) -> None:
    layer = module(released=released)
    added, attention = one(layer, *maps, need_attention=True)
    torch.testing.assert_close(added, one(layer, *maps)[0])
    assert attention.shape == (2, 6, 6)
    torch.testing.assert_close(attention.sum(-1), torch.ones(2, 6))


def test_queries_keys_and_values_have_no_bias() -> None:
    names = {name for name, _ in module().named_parameters()}
    assert names == {"query.weight", "key.weight", "value.weight", "projection.weight", "projection.bias"}


@pytest.mark.parametrize("released", [False, True])
def test_several_modalities_attend_as_each_alone(maps: tuple[torch.Tensor, torch.Tensor], released: bool) -> None:
    layer, (tem, other) = module(released=released), maps
    both = layer(tem, torch.stack([other, 2 * other], 1), need_attention=True)
    for place, each in enumerate((other, 2 * other)):
        for together, alone in zip(both, one(layer, tem, each, need_attention=True), strict=True):
            torch.testing.assert_close(together[:, place], alone)
