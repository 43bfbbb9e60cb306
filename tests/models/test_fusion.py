"""The comparator fusions: each follows its paper and supports missing modalities."""

from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from nephroscale.errors import NephroscaleError
from nephroscale.models.batch import Batch, Output
from nephroscale.models.fusion.common import Attention, Block
from nephroscale.models.registry import FAMILIES, modules_of
from support.networks import build_network, model_settings

FUSIONS = [name for name, module in FAMILIES.items() if ".fusion." in module]
MAPS = {"TEM": (2, 2, 8), "OM": (2, 2, 8), "IM": (2, 2, 8)}
CLASSES = 3


def network(family: str, shapes: dict | None = None, **settings: Any):
    return build_network(shapes or MAPS, CLASSES, family=family, **{"hidden": 12, **settings})


def batch(shapes: dict | None = None, lacking: tuple[str, int] | None = None, rubbish: bool = False) -> Batch:
    """Four patients, with three TEM instances and two glomeruli each; one may lack a modality."""
    generator = torch.Generator().manual_seed(0)
    features, masks = {}, {}
    for name, shape in (shapes or MAPS).items():
        n = {"TEM": 3, "OM": 2, "IM": 1}[name]
        features[name] = torch.randn((4, n, *shape), generator=generator)
        masks[name] = torch.ones(4, n, dtype=torch.bool)
    if lacking:
        name, place = lacking
        masks[name][place] = False
        if not rubbish:
            features[name][place] = 0
    return Batch.of(features, masks, torch.tensor([0, 2, 1, 0]), list("abcd"))


def test_there_are_six_comparators() -> None:
    assert len(FUSIONS) == 6
    for name in FUSIONS:
        assert modules_of(model_settings(name)) == [f"nephroscale.models.fusion.{name.replace('-', '_')}"]


@pytest.mark.parametrize("family", FUSIONS)
def test_every_part_learns(family: str) -> None:
    model, given = network(family), batch()
    output = model(given)
    assert output.logits["fusion"].shape == (4, CLASSES)
    torch.testing.assert_close(output.weights["OM"].sum(1), torch.ones(4))
    model.loss(output, given.labels).backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not [name for name in idle if not name.startswith("pools.IM")], "IM has one marker, which needs no weighing"


@pytest.mark.parametrize("modality", list(MAPS))
@pytest.mark.parametrize("family", FUSIONS)
def test_a_missing_modality_is_ignored_and_changes_no_other_patient(family: str, modality: str) -> None:
    model = network(family)
    assert model.supports_missing_modalities
    given, strange = batch(lacking=(modality, 1)), batch(lacking=(modality, 1), rubbish=True)
    output, whole = model(given), model(batch())
    torch.testing.assert_close(model(strange).logits["fusion"], output.logits["fusion"], rtol=0, atol=0)
    others = [0, 2, 3]
    torch.testing.assert_close(output.logits["fusion"][others], whole.logits["fusion"][others], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(output.logits["fusion"][1], whole.logits["fusion"][1])
    model.loss(output, given.labels).backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("family", FUSIONS)
def test_grids_widths_and_inputs_may_differ(family: str) -> None:
    shapes = {"TEM": (3, 3, 8), "OM": (2, 2, 6), "IM": (1, 1, 8)}
    assert network(family, shapes)(batch(shapes)).logits["fusion"].isfinite().all()
    one = network(family, modalities=["IM"])
    assert one(batch()).logits["fusion"].shape == (4, CLASSES)
    with pytest.raises(NephroscaleError, match="No patient has features of OM, IM"):
        network(family, {"TEM": (2, 2, 8)})


@pytest.mark.parametrize("family", FUSIONS)
def test_encoders_are_trained_with_the_fusion(family: str) -> None:
    model = network(family, dict.fromkeys(MAPS, (16, 16, 3)), encoder={"name": "small-cnn", "width": 8})
    pixels = {name: torch.randint(0, 256, (2, 1, 16, 16, 3), dtype=torch.uint8) for name in MAPS}
    given = Batch.of(pixels, {name: torch.ones(2, 1, dtype=torch.bool) for name in MAPS}, torch.tensor([0, 1]))
    model.loss(model(given), given.labels).backward()
    assert all(any(p.grad is not None for p in encoder.parameters()) for encoder in model.encoders.values())


def probabilities(output: Output, name: str) -> torch.Tensor:
    return torch.softmax(output.logits[name], -1)


def test_late_voting_averages_the_probabilities_of_present_modalities() -> None:
    model, given = network("late-voting"), batch(lacking=("OM", 1))
    output = model(given)
    expected = torch.stack([probabilities(output, name) for name in MAPS]).mean(0)
    expected[1] = (probabilities(output, "TEM")[1] + probabilities(output, "IM")[1]) / 2
    torch.testing.assert_close(probabilities(output, "fusion"), expected)
    there = {name: [0, 2, 3] if name == "OM" else [0, 1, 2, 3] for name in MAPS}
    loss = sum(cross_entropy(output.logits[n][there[n]], given.labels[there[n]], reduction="sum") for n in MAPS)
    torch.testing.assert_close(model.loss(output, given.labels), loss)


def test_modality_weights_sum_to_one() -> None:
    share = network("modality-attention")(batch(lacking=("IM", 2))).modality_weight
    weights = torch.stack([share[name] for name in ("TEM", "OM", "IM")], 1)
    torch.testing.assert_close(weights.sum(1), torch.ones(4))
    assert weights[2, 2] == 0
    assert (weights[[0, 1, 3]] > 0).all()


def test_attention_is_torchs_own_multi_head_attention() -> None:
    torch.manual_seed(0)
    ours, theirs = Attention(12, 4), torch.nn.MultiheadAttention(12, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.memory.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.memory.bias]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    tokens, others = torch.randn(2, 5, 12), torch.randn(2, 7, 12)
    there = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])
    expected, _ = theirs(tokens, others, others, key_padding_mask=~there)
    torch.testing.assert_close(ours(tokens, others, there), expected, rtol=1e-4, atol=1e-5)
    assert not ours(tokens, others, torch.zeros(2, 7, dtype=torch.bool)).any()
    with pytest.raises(NephroscaleError, match="12 cannot be divided among 5"):
        Attention(12, 5)


def test_a_block_is_torchs_own_encoder_layer_normalised_before() -> None:
    torch.manual_seed(0)
    ours = Block(12, 4).eval()
    theirs = torch.nn.TransformerEncoderLayer(12, 4, 24, activation="gelu", batch_first=True, norm_first=True).eval()
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(torch.cat([ours.attention.query.weight, ours.attention.memory.weight]))
        theirs.self_attn.in_proj_bias.copy_(torch.cat([ours.attention.query.bias, ours.attention.memory.bias]))
    theirs.self_attn.out_proj.load_state_dict(ours.attention.out.state_dict())
    pairs = {
        "norm1": ours.norm,
        "norm2": ours.perceptron[0],
        "linear1": ours.perceptron[1],
        "linear2": ours.perceptron[4],
    }
    for name, part in pairs.items():
        theirs.get_submodule(name).load_state_dict(part.state_dict())
    tokens, there = torch.randn(2, 7, 12), torch.tensor([[True] * 7, [True] * 4 + [False] * 3])
    expected = theirs(tokens, src_key_padding_mask=~there)
    torch.testing.assert_close(ours(tokens, there), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chosen", [{}, {"TEM": 2.0, "OM": 0.7}])
def test_mmformers_auxiliary_losses_are_weighted(chosen: dict[str, float]) -> None:
    model, given = network("mmformer", loss_weights=chosen), batch(lacking=("OM", 1))
    output = model(given)
    weights = {"fusion": 1.0, "TEM": 0.2, "OM": 0.3, "IM": 0.5, **chosen}
    there = {name: [0, 2, 3] if name == "OM" else [0, 1, 2, 3] for name in weights}
    parts = {n: cross_entropy(output.logits[n][there[n]], given.labels[there[n]], reduction="sum") for n in weights}
    torch.testing.assert_close(model.loss(output, given.labels), sum(weights[n] * parts[n] for n in weights))


@pytest.mark.slow
def test_fusions_learn_an_interaction_of_modalities() -> None:
    """The class is whether two modalities agree, which a vote of single modalities cannot represent."""
    generator = torch.Generator().manual_seed(2)
    signs = torch.randint(0, 2, (2, 24), generator=generator).float() * 2 - 1
    features = {
        name: sign[:, None, None, None, None].expand(24, 1, 2, 2, 8)
        for name, sign in zip(("OM", "IM"), signs, strict=True)
    }
    masks = {name: torch.ones(24, 1, dtype=torch.bool) for name in features}
    given = Batch.of(features, masks, (signs[0] == signs[1]).long())
    right = {}
    for family in FUSIONS:
        model = network(family, modalities=["OM", "IM"], dropout=0.0).train()
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        for _ in range(60):
            optimizer.zero_grad()
            model.loss(model(given), given.labels).backward()
            optimizer.step()
        right[family] = float((model.eval()(given).logits["fusion"].argmax(1) == given.labels).float().mean())
    assert right.pop("late-voting") < 0.9
    assert all(share > 0.95 for share in right.values()), right
