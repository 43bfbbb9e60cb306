"""The parts of each paper's network, compared with plain and slow implementations."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, layer_norm

from nephroscale.errors import NephroscaleError
from nephroscale.models.batch import Output
from nephroscale.models.mil.attention import AttentionPooling
from nephroscale.models.mil.bag import EmbeddingConfig, InstanceEmbedding
from nephroscale.models.mil.clam_sb import extremes, smooth_top1
from nephroscale.models.mil.sc_mil import contrastive_loss
from nephroscale.models.mil.transmil import PositionEncoding, SelfAttention, lay_out
from support.mil import SHAPES, batch, network

TRUE = torch.ones(1, 4, dtype=torch.bool)


@pytest.mark.parametrize("gated", [False, True])
def test_attention_is_that_of_the_paper(gated: bool) -> None:
    torch.manual_seed(0)
    pooling, bag = AttentionPooling(6, 5, gated=gated), torch.randn(1, 4, 6)
    score = []
    for h in bag[0]:
        hidden = torch.tanh(pooling.content.weight @ h + pooling.content.bias)
        if gated:
            hidden = hidden * torch.sigmoid(pooling.gate.weight @ h + pooling.gate.bias)
        score.append(torch.exp(pooling.score.weight[0] @ hidden))
    share = torch.stack(score) / torch.stack(score).sum()
    pooled, weights = pooling(bag, TRUE)
    torch.testing.assert_close(weights[0], share)
    torch.testing.assert_close(pooled[0], (share[:, None] * bag[0]).sum(0))


def test_modalities_have_their_own_embedding_and_one_width() -> None:
    embedding = InstanceEmbedding(SHAPES, EmbeddingConfig(()))
    assert list(embedding.projections) == ["OM"]
    torch.nn.init.normal_(embedding.modality)
    given = batch()
    bag = embedding(given)
    assert bag.lengths == {"TEM": 5, "OM": 2, "IM": 1}
    torch.testing.assert_close(bag.vectors[:, 7], given.features["IM"][:, 0].mean((1, 2)) + embedding.modality[2])
    mapwise = embedding.projections["OM"](given.features["OM"]).mean((2, 3)) + embedding.modality[1]
    torch.testing.assert_close(bag.vectors[:, 5:7], mapwise, msg="pooling and projecting commute")
    alone = InstanceEmbedding({"TEM": (2, 2, 8)}, EmbeddingConfig((4, 3)))
    assert alone.modality is None
    assert alone.width == 3


def test_max_pooling_divides_a_feature_among_instances_of_equal_maximum() -> None:
    model = network("max-pooling", {"TEM": (1, 1, 2)}, embedding=[])
    given = batch({"TEM": (1, 1, 2)}, {"TEM": (3,)})
    given.features["TEM"][0, :, 0, 0] = torch.tensor([[5.0, 1.0], [5.0, 3.0], [0.0, 2.0]])
    assert model(given).weights["TEM"][0].tolist() == [0.25, 0.75, 0]


def test_clam_uses_each_instance_of_a_small_bag_once() -> None:
    weights = torch.tensor([[0.1, 0.4, 0.2, 0.3], [0.7, 0.3, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]).bool()
    top, bottom = extremes(weights, mask, most=8)
    assert top.int().tolist() == [[0, 1, 0, 1], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert bottom.int().tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    top, bottom = extremes(weights[:1], mask[:1], most=1)
    assert (top.int().tolist(), bottom.int().tolist()) == ([[0, 1, 0, 0]], [[1, 0, 0, 0]])


def test_clams_instance_loss_is_a_smooth_svm() -> None:
    logits = torch.tensor([0.3, -0.9])
    for label in (0, 1):
        hinges = [float(j != label) + logits[j] - logits[label] for j in (0, 1)]
        assert float(smooth_top1(logits)[label]) == pytest.approx(math.log(sum(map(math.exp, hinges))))


def test_clams_instance_loss_bag_by_bag() -> None:
    model = network("clam-sb", {"TEM": (1, 1, 4)}, embedding=[], instance_loss={"instances": 2, "weight": 0.3}).train()
    torch.manual_seed(0)
    logits, label = torch.randn(1, 4, 3, 2), 1
    attention = torch.tensor([[0.1, 0.4, 0.2, 0.3]])
    loss = smooth_top1(logits)[0]  # instance, class, label
    own = torch.stack([loss[1, 1, 1], loss[3, 1, 1], loss[0, 1, 0], loss[2, 1, 0]]).mean()
    others = [torch.stack([loss[1, c, 0], loss[3, c, 0]]).mean() for c in (0, 2)]
    expected = (own + sum(others)) / 3
    extra = {"instance_logits": logits, "attention": attention, "mask": TRUE}
    output = Output({"fusion": torch.zeros(1, 3)}, extra=extra)
    torch.testing.assert_close(model.instance_loss(output, torch.tensor([label]))[0], expected)
    torch.testing.assert_close(
        model.loss(output, torch.tensor([label])), 0.7 * torch.tensor(3.0).log() + 0.3 * expected
    )


def test_clam_and_others_validate_with_the_bags_loss_alone() -> None:
    for family in ("clam-sb", "sc-mil", "mhim-mil"):
        model, given = network(family), batch()
        output = model(given)
        expected = cross_entropy(output.logits["fusion"], given.labels, reduction="sum")
        torch.testing.assert_close(model.loss(output, given.labels), expected)
        assert not output.extra


def test_transmil_fills_the_square_of_each_bag_by_repetition() -> None:
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [0, 1, 1, 1, 0, 0], [0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0]]).bool()
    layout, filled = lay_out(mask)
    assert layout.shape == (4, 9, 6)
    squares = torch.where(filled, layout.argmax(-1), -1).unflatten(1, (3, 3)).tolist()
    assert squares[0] == [[0, 1, 2], [3, 4, 5], [0, 1, 2]]
    assert squares[1] == [[1, 2, -1], [3, 1, -1], [-1, -1, -1]]
    assert squares[2] == [[3, -1, -1], [-1, -1, -1], [-1, -1, -1]]
    assert not filled[3].any()
    assert (layout.sum(-1) == filled).all()


def test_transmil_refuses_a_width_that_its_heads_do_not_divide() -> None:
    with pytest.raises(NephroscaleError, match=r"width 10 .* multiple of 4 heads"):
        network("transmil", embedding=[10])


def attend(layer: SelfAttention, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Head by head, for the tokens [T, D] of one bag."""
    normed = layer_norm(tokens, tokens.shape[1:], layer.norm.weight, layer.norm.bias)
    query, key, value = (normed @ part.T for part in layer.query_key_value.weight.chunk(3))
    attended, weights = [], []
    for q, k, v in zip(*(part.chunk(layer.heads, 1) for part in (query, key, value)), strict=True):
        share = torch.softmax(q @ k.T / math.sqrt(q.shape[1]), 1)
        attended.append(share @ v)
        weights.append(share[0])
    linear = layer.out[0]
    return tokens + torch.cat(attended, 1) @ linear.weight.T + linear.bias, torch.stack(weights).mean(0)


def encode(position: PositionEncoding, square: Tensor) -> Tensor:
    """Place by place, for a square [S, S, D]."""
    side, encoded = len(square), square.clone()
    for convolution in position.convolutions:
        reach = convolution.weight.shape[-1] // 2
        for row, column in itertools.product(range(side), repeat=2):
            encoded[row, column] += convolution.bias
            for i, j in itertools.product(range(side), repeat=2):
                if max(abs(i - row), abs(j - column)) <= reach:
                    weight = convolution.weight[:, 0, i - row + reach, j - column + reach]
                    encoded[row, column] += weight * square[i, j]
    return encoded


def test_transmils_layers_are_those_of_the_paper() -> None:
    torch.manual_seed(0)
    layer, position = SelfAttention(8, 2).eval(), PositionEncoding(8)
    torch.nn.init.normal_(layer.query_key_value.weight)
    tokens = torch.randn(1, 5, 8)
    expected = attend(layer, tokens[0])
    after, weights = layer(tokens, torch.ones(1, 5, dtype=torch.bool))
    torch.testing.assert_close((after[0], weights[0]), expected)
    square = torch.randn(1, 8, 3, 3)
    torch.testing.assert_close(position(square)[0].permute(1, 2, 0), encode(position, square[0].permute(1, 2, 0)))


def test_transmil_has_position_encoding_between_its_layers() -> None:
    model, given = network("transmil", {"TEM": (1, 1, 8)}), batch({"TEM": (1, 1, 8)}, {"TEM": (5,)})
    vectors = model.embedding(given).vectors[0]
    cells = [0, 1, 2, 3, 4, 0, 1, 2, 3]
    tokens, _ = attend(model.first, torch.cat([model.token[None], vectors[cells]]))
    square = encode(model.position, tokens[1:].unflatten(0, (3, 3))).flatten(0, 1)
    tokens, attention = attend(model.second, torch.cat([tokens[:1], square]))
    output = model(given)
    torch.testing.assert_close(output.logits["fusion"][0], model.classifier(model.norm(tokens[0])))
    share = torch.zeros(5).index_add(0, torch.tensor(cells), attention[1:]) / attention[1:].sum()
    torch.testing.assert_close(output.weights["TEM"][0], share)


def test_dsmil_attends_from_the_critical_instance_and_trains_both_streams() -> None:
    model, given = network("dsmil", {"TEM": (1, 1, 8)}), batch({"TEM": (1, 1, 8)}, {"TEM": (4,)})
    output = model(given)
    vectors = model.embedding(given).vectors[0]
    scores = model.instance_classifier(vectors)
    queries = model.query(vectors)
    pooled = []
    for c in range(3):
        attention = torch.softmax(queries @ queries[scores[:, c].argmax()] / math.sqrt(queries.shape[1]), 0)
        pooled.append(attention @ vectors)
        if c == output.logits["fusion"][0].argmax():
            torch.testing.assert_close(output.weights["TEM"][0], attention)
    bag = model.bag_classifier(torch.cat(pooled))
    torch.testing.assert_close(output.logits["fusion"][0], (scores.amax(0) + bag) / 2)
    label = given.labels[0]
    expected = (cross_entropy(scores.amax(0), label) + cross_entropy(bag, label)) / 2
    torch.testing.assert_close(model.loss(output, given.labels), expected)


def test_sc_mils_contrastive_loss_equals_a_sum_over_pairs() -> None:
    torch.manual_seed(0)
    z, labels = torch.nn.functional.normalize(torch.randn(5, 4), dim=1), torch.tensor([0, 1, 0, 2, 0])
    total = 0.0
    for i in range(5):
        fellows = [p for p in range(5) if p != i and labels[p] == labels[i]]
        below = sum(math.exp(float(z[i] @ z[a]) / 0.5) for a in range(5) if a != i)
        total -= sum(float(z[i] @ z[p]) / 0.5 - math.log(below) for p in fellows) / max(1, len(fellows))
    assert float(contrastive_loss(z, labels, 0.5)) == pytest.approx(total, rel=1e-5)
    assert float(contrastive_loss(z[:1], labels[:1], 0.5)) == 0


def test_sc_mil_shifts_from_contrast_to_classification() -> None:
    model, given = network("sc-mil").train(), batch()
    output = model(given)
    classes = cross_entropy(output.logits["fusion"], given.labels, reduction="sum")
    contrast = contrastive_loss(output.extra["projected"], given.labels, 0.1)
    for progress, beta in ((0.0, 1.0), (0.5, 0.75), (0.9, 0.19)):
        model.progress = progress
        torch.testing.assert_close(model.loss(output, given.labels), beta * contrast + (1 - beta) * classes)


def test_mhim_masks_the_most_and_least_attended_and_keeps_an_instance() -> None:
    model = network("mhim-mil", masking={"high": 0.2, "low": 0.2}).train()
    torch.manual_seed(0)
    attention = torch.rand(200, 10).softmax(1)
    mask = torch.ones(200, 10, dtype=torch.bool)
    seen = model.mask_instances(attention, mask)
    assert (seen.sum(1) == 6).all()
    rank = attention.argsort(1, descending=True).argsort(1)
    gone = torch.stack([(~seen & (rank == place)).float().mean() * 10 for place in range(10)])
    assert (gone[4:8] == 0).all()
    assert (gone[8:] == 1).all()
    assert gone[:4].sum() == pytest.approx(2)
    assert ((gone[:4] > 0.3) & (gone[:4] < 0.7)).all()
    for n in (1, 2, 3):
        small = torch.arange(10).expand(200, -1) < n
        left = model.mask_instances(attention, small)
        assert (left.sum(1) >= 1).all()
        assert not (left & ~small).any()
    model.progress = 0.999999
    model.masking = replace(model.masking, low=0.0)
    assert (model.mask_instances(attention, mask).sum(1) == 9).all(), "the share of the most attended falls"


def test_mhims_teacher_follows_the_student_and_does_not_predict() -> None:
    model, given = network("mhim-mil", masking={"momentum": 0.9}).train(), batch()
    assert model.training
    assert not model.teacher.training
    before = model.teacher.attention.score.weight.clone()
    torch.testing.assert_close(before, model.student.attention.score.weight)
    with torch.no_grad():
        model.student.attention.score.weight.add_(1.0)
    model.after_step()
    torch.testing.assert_close(model.teacher.attention.score.weight, before + 0.1)
    one = model.eval()(given).logits["fusion"]
    torch.nn.init.zeros_(model.teacher.embedding.layers[0].weight)
    torch.testing.assert_close(model(given).logits["fusion"], one, rtol=0, atol=0)
    assert not any(p.requires_grad for p in model.teacher.parameters())


def test_mhims_student_does_not_read_masked_instances() -> None:
    model = network("mhim-mil", {"TEM": (1, 1, 8)}, embedding_dropout=0.0).train()
    given, strange = (batch({"TEM": (1, 1, 8)}, {"TEM": (5, 4)}) for _ in range(2))
    seen = torch.tensor([[1, 0, 1, 0, 1], [0, 1, 1, 0, 0]]).bool()
    strange.features["TEM"][~seen] = 9.0
    received: list[Tensor] = []
    model.mask_instances = lambda attention, mask: received.extend([attention, mask]) or seen
    one, other = model(given), model(strange)
    pooled, weights = model.student.attention(model.student.embedding(given).vectors, seen)
    torch.testing.assert_close(one.extra["learnt"], pooled)
    torch.testing.assert_close(one.logits["fusion"], model.classifier(pooled))
    torch.testing.assert_close(one.weights["TEM"], weights)
    assert torch.equal(one.weights["TEM"] > 0, seen)
    torch.testing.assert_close(other.logits, one.logits, rtol=0, atol=0)
    torch.testing.assert_close(other.extra["learnt"], one.extra["learnt"], rtol=0, atol=0)
    assert not torch.allclose(other.extra["taught"], one.extra["taught"]), "the teacher sees everything"
    bag = model.teacher.embedding(given)
    torch.testing.assert_close(received[:2], [model.teacher.attention(bag.vectors, bag.mask)[1], bag.mask])
    model.eval()
    assert torch.equal(model(given).weights["TEM"] > 0, given.mask["TEM"]), "in a prediction nothing is masked"


def test_mhim_adds_the_distance_between_student_and_teacher_bags() -> None:
    model, given = network("mhim-mil", masking={"consistency": 0.3}).train(), batch()
    with torch.no_grad():
        for parameter in model.teacher.parameters():
            parameter.mul_(1.5)
    output = model(given)
    bag = model.teacher.embedding(given)
    taught, _ = model.teacher.attention(bag.vectors, bag.mask)
    target, learnt = torch.softmax(taught / 0.1, 1), torch.softmax(output.extra["learnt"], 1)
    distance = -(target * learnt.log()).sum()
    classes = cross_entropy(output.logits["fusion"], given.labels, reduction="sum")
    torch.testing.assert_close(model.loss(output, given.labels), classes + 0.3 * distance)
    assert not output.extra["taught"].requires_grad
    assert network("mhim-mil").masking.consistency == 0.5
