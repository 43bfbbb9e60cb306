"""Properties of every multiple-instance network: invariance to padding, other patients and order; learning."""

from typing import Any

import pytest
import torch
from torch import Tensor

from nephroscale.models.batch import Batch
from nephroscale.models.network import Network
from support.mil import MIL, ORDERED, SHAPES, SIZES, batch, network


def cut(whole: Batch, patient: int) -> Batch:
    """One patient of a batch, without padding."""
    longest = {name: max(1, int(mask[patient].sum())) for name, mask in whole.mask.items()}
    features = {name: whole.features[name][patient : patient + 1, :n] for name, n in longest.items()}
    masks = {name: whole.mask[name][patient : patient + 1, :n] for name, n in longest.items()}
    return Batch.of(features, masks, whole.labels[patient : patient + 1])


def weights_of(output: Any, given: Batch, patient: int) -> Tensor:
    return torch.cat([output.weights[name][patient][given.mask[name][patient]] for name in given.mask])


@pytest.mark.parametrize("family", MIL)
def test_padding_and_other_patients_do_not_change_a_prediction(family: str) -> None:
    model, whole = network(family), batch()
    together, padded = model(whole), model(batch(longer=3))
    torch.testing.assert_close(together.logits, padded.logits, rtol=1e-5, atol=1e-6)
    for patient in range(len(whole)):
        one = cut(whole, patient)
        alone = model(one)
        torch.testing.assert_close(together.logits["fusion"][patient], alone.logits["fusion"][0], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(weights_of(together, whole, patient), weights_of(alone, one, 0))
    total = sum(model.loss(model(cut(whole, i)), whole.labels[i : i + 1]) for i in range(len(whole)))
    torch.testing.assert_close(model.loss(together, whole.labels), total)


@pytest.mark.parametrize("family", MIL)
def test_the_gradient_does_not_depend_on_padding(family: str) -> None:
    gradients = []
    for longer in (0, 2):
        model, given = network(family), batch(longer=longer)
        model.loss(model(given), given.labels).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", MIL)
def test_the_order_of_instances_matters_only_where_the_paper_defines_one(family: str) -> None:
    model, given = network(family, {"TEM": (2, 2, 8)}), batch({"TEM": (2, 2, 8)}, {"TEM": (5, 5, 5, 5)})
    order = torch.tensor([3, 1, 4, 0, 2])
    turned = Batch.of({"TEM": given.features["TEM"][:, order]}, given.mask, given.labels)
    one, other = model(given), model(turned)
    same = torch.allclose(one.logits["fusion"], other.logits["fusion"], rtol=1e-5, atol=1e-6)
    assert same == (family not in ORDERED)
    if same:
        torch.testing.assert_close(one.weights["TEM"][:, order], other.weights["TEM"])


@pytest.mark.parametrize("family", MIL)
def test_weights_are_shares_of_the_bag_over_all_modalities(family: str) -> None:
    given = batch()
    output = network(family)(given)
    assert list(output.weights) == ["TEM", "OM", "IM"]
    for name, mask in given.mask.items():
        assert output.weights[name].shape == mask.shape
        assert not output.weights[name].requires_grad
        assert (output.weights[name][~mask] == 0).all()
        assert (output.weights[name] >= 0).all()
    total = sum(weights.sum(1) for weights in output.weights.values())
    torch.testing.assert_close(total, torch.ones(4))


@pytest.mark.parametrize("family", MIL)
def test_every_trainable_parameter_gets_a_finite_gradient(family: str) -> None:
    model, given = network(family).train(), batch()
    model.progress = 0.5
    model.loss(model(given), given.labels).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
    embedding = next(p for name, p in model.named_parameters() if name.endswith("layers.0.weight"))
    assert embedding.grad.abs().max() > 0


@pytest.mark.parametrize("family", MIL)
def test_a_bag_without_instances_has_a_finite_prediction_and_no_weights(family: str) -> None:
    empty = {"TEM": (0, 3), "OM": (0, 1), "IM": (0, 1)}
    model, given = network(family).train(), batch(sizes=empty)
    output = model(given)
    model.loss(output, given.labels).backward()
    assert output.logits["fusion"].isfinite().all()
    assert all((weights[0] == 0).all() for weights in output.weights.values())
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("family", MIL)
def test_nothing_depends_on_a_value_of_the_device(family: str) -> None:
    """The meta device has no values, so reading one raises an error."""
    model, given = network(family).train().to("meta"), batch().to("meta")
    model.loss(model(given), given.labels).backward()
    model.after_step()


@pytest.mark.parametrize("family", MIL)
def test_the_criterion_of_the_training_is_used(family: str) -> None:
    model, given = network(family), batch()
    output, plain = model(given), model.loss(model(given), given.labels)
    model.criterion = lambda logits, labels: 3 * Network.criterion(logits, labels)
    torch.testing.assert_close(model.loss(output, given.labels), 3 * plain)


@pytest.mark.parametrize("family", MIL)
def test_an_encoder_is_trained_and_skips_padding(family: str) -> None:
    shapes = dict.fromkeys(SHAPES, (28, 28, 3))
    generator = torch.Generator().manual_seed(0)
    masks = {name: torch.arange(max(n)) < torch.tensor(n)[:, None] for name, n in SIZES.items()}
    pixels = {
        name: torch.randint(0, 256, (*mask.shape, 28, 28, 3), generator=generator, dtype=torch.uint8)
        for name, mask in masks.items()
    }
    model = network(family, shapes, encoder={"name": "small-cnn", "width": 8}).train()
    seen: list[int] = []
    for name, module in model.named_modules():
        if name.endswith(("encoders.TEM", "encoders.OM", "encoders.IM")) and "teacher" not in name:
            module.register_forward_hook(lambda _module, inputs, _output: seen.append(len(inputs[0])))
    given = Batch.of(pixels, masks, torch.tensor([0, 1, 2, 0]))
    model.loss(model(given), given.labels).backward()
    assert sorted(seen) == sorted(sum(n) for n in SIZES.values())
    first = next(p for name, p in model.named_parameters() if "encoders.TEM" in name and p.requires_grad)
    assert first.grad is not None


def toy(seed: int, patients: int = 48) -> tuple[Batch, Tensor]:
    """Bags of 4 to 9 noise instances; those of class 1 hold two, anywhere, that are far along feature 0: the keys.

    Two, since MHIM-MIL masks what is most attended: without its only key a bag would teach the wrong thing.
    """
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(4, 10, (patients,), generator=generator)
    mask = torch.arange(9) < lengths[:, None]
    features = torch.randn(patients, 9, 1, 1, 6, generator=generator)
    labels = torch.arange(patients) % 2
    drawn = torch.rand(mask.shape, generator=generator).masked_fill(~mask, -1).argsort(1, descending=True)
    keys = torch.zeros_like(mask).scatter(1, drawn[:, :2], value=True) & (labels[:, None] == 1)
    features[..., 0] += 6.0 * keys[..., None, None]
    return Batch.of({"TEM": features * mask[..., None, None, None]}, {"TEM": mask}, labels), keys


@pytest.mark.slow
@pytest.mark.parametrize("family", MIL)
def test_a_known_problem_of_bags_is_learnt(family: str) -> None:
    model = network(family, {"TEM": (1, 1, 6)}, 2, embedding_dropout=0.0).train()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    (learnt, _), (unseen, keys) = toy(1), toy(2)
    steps = 120
    for step in range(steps):
        model.progress = step / steps
        optimizer.zero_grad()
        model.loss(model(learnt), learnt.labels).backward()
        optimizer.step()
        model.after_step()
    with torch.no_grad():
        output = model.eval()(unseen)
    right = (output.logits["fusion"].argmax(1) == unseen.labels).float().mean()
    assert right > 0.85
    if family not in {"mean-pooling", "transmil"}:  # these do not point at an instance by design
        positive = unseen.labels == 1
        found = keys.gather(1, output.weights["TEM"].argmax(1, keepdim=True))
        assert found[positive].float().mean() > 0.6, "a key is drawn blindly in a third of the bags"
