"""The network: its parts, its ablations, and the released code's faults 4 and 5."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from nephroscale.errors import NephroscaleError
from nephroscale.models.batch import Batch
from support.networks import build_network

CLASSES = 3
MAPS = {"TEM": (2, 2, 8), "OM": (2, 2, 8), "IM": (2, 2, 8)}
PIXELS = dict.fromkeys(MAPS, (28, 28, 3))
ENCODER = {"name": "small-cnn", "width": 16}


def batch(shapes: dict, sizes: tuple = (3, 1, 4), pixels: bool = False, om: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(0)
    features, masks = {}, {}
    for name, shape in shapes.items():
        longest = {"TEM": max(sizes), "OM": om}.get(name, 1)
        lengths = torch.tensor(sizes if name == "TEM" else [longest] * len(sizes))
        masks[name] = torch.arange(longest) < lengths[:, None]
        full = (len(sizes), longest, *shape)
        drawn = (
            torch.randint(0, 256, full, generator=generator, dtype=torch.uint8)
            if pixels
            else torch.randn(full, generator=generator)
        )
        features[name] = drawn * masks[name][:, :, None, None, None]
    return Batch.of(features, masks, torch.tensor([0, 2, 1][: len(sizes)]), ["a", "b", "c"][: len(sizes)])


def network(shapes: dict, **settings):
    return build_network(shapes, CLASSES, **{"hidden": 6, **settings})


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("modalities", [["TEM"], ["OM"], ["IM"], ["TEM", "IM"], ["OM", "IM"], ["TEM", "OM", "IM"]])
def test_ablations(modalities: list[str], attention: bool) -> None:
    model = network(MAPS, modalities=modalities, attention=attention)
    given = batch(MAPS)
    output = model(given, need_attention=True)
    assert set(output.logits) == {"fusion", *modalities}
    assert all(logits.shape == (3, CLASSES) for logits in output.logits.values())
    assert (output.selection is not None) == ("TEM" in modalities)
    attended = attention and "TEM" in modalities
    assert set(output.attention) == (set(modalities) - {"TEM"} if attended else set())
    weights = {"fusion": 1, "OM": 0.3, "IM": 0.5, "TEM": 0.2}
    expected = sum(
        weights[name] * cross_entropy(logits, given.labels, reduction="sum") for name, logits in output.logits.items()
    )
    torch.testing.assert_close(model.loss(output, given.labels), expected)


def test_attention_changes_only_om_and_im() -> None:
    with_it, without = network(MAPS), network(MAPS, attention=False)
    without.load_state_dict(with_it.state_dict(), strict=False)
    one, other = with_it(batch(MAPS)).logits, without(batch(MAPS)).logits
    torch.testing.assert_close(one["TEM"], other["TEM"])
    for name in ("OM", "IM"):
        assert not torch.allclose(one[name], other[name])


def test_fault_4_a_branch_with_negative_logits_learns() -> None:
    gradients = {}
    for variant in ("default", "released"):
        model = network(MAPS, variant=variant, modalities=["OM"], loss_weights={"OM": 0.3})
        torch.nn.init.constant_(model.branches["OM"].linear.bias, -100.0)
        given = batch(MAPS)
        model.loss(model(given), given.labels).backward()
        gradients[variant] = model.branches["OM"].linear.weight.grad
    assert gradients["default"].abs().max() > 0
    assert not gradients["released"].any()


@pytest.mark.parametrize("pixels", [False, True])
def test_fault_5_a_batch_equals_its_patients_one_by_one(pixels: bool) -> None:
    shapes = PIXELS if pixels else MAPS
    model = network(shapes, encoder=ENCODER if pixels else None)
    sizes = (3, 1, 4)
    whole = batch(shapes, sizes, pixels)
    together = model(whole).logits
    for i, n in enumerate(sizes):
        features = {name: value[i : i + 1, : n if name == "TEM" else 1] for name, value in whole.features.items()}
        masks = {name: value[i : i + 1, : n if name == "TEM" else 1] for name, value in whole.mask.items()}
        alone = model(Batch.of(features, masks, whole.labels[i : i + 1])).logits
        for name, logits in alone.items():
            torch.testing.assert_close(together[name][i : i + 1], logits, rtol=1e-4, atol=1e-4)


def test_fault_5_each_encoder_runs_once_and_sees_no_padding() -> None:
    model = network(PIXELS, encoder=ENCODER)
    seen: list[int] = []
    for encoder in model.encoders.values():
        encoder.register_forward_hook(lambda _module, inputs, _output: seen.append(len(inputs[0])))
    model(batch(PIXELS, (3, 1, 4), pixels=True))
    assert sorted(seen) == [3, 3, 8]


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("variant", ["default", "released"])
def test_fault_5_nothing_depends_on_a_value_of_the_device(pixels: bool, variant: str) -> None:
    """The meta device has no values, so reading one raises an error."""
    shapes = PIXELS if pixels else MAPS
    model = network(shapes, encoder=ENCODER if pixels else None, variant=variant).to("meta")
    given = batch(shapes, pixels=pixels).to("meta")
    model.loss(model(given), given.labels).backward()


def test_fault_6_evaluation_is_the_same_each_time() -> None:
    model = network(MAPS)
    torch.testing.assert_close(model(batch(MAPS)).logits, model(batch(MAPS)).logits, rtol=0, atol=0)
    model.train()
    assert not torch.equal(model(batch(MAPS)).logits["fusion"], model(batch(MAPS)).logits["fusion"])


def test_widths_that_differ_are_projected_and_equal_ones_are_not() -> None:
    assert not network(MAPS).projections
    model = network({**MAPS, "OM": (2, 2, 12)})
    assert list(model.projections) == ["OM"]
    assert model(batch({**MAPS, "OM": (2, 2, 12)})).logits["fusion"].shape == (3, CLASSES)


def test_grids_that_differ_need_attention_switched_off() -> None:
    shapes = {**MAPS, "IM": (3, 3, 8)}
    with pytest.raises(NephroscaleError, match=r"different grids.*IM 3 x 3"):
        network(shapes)
    assert network(shapes, attention=False)(batch(shapes)).logits["fusion"].shape == (3, CLASSES)


def test_several_glomeruli_can_be_averaged() -> None:
    model = network(MAPS, pooling="mean")
    several = batch(MAPS, om=3)
    mean = several.features["OM"].mean(1, keepdim=True)
    one = Batch.of({**several.features, "OM": mean}, {**several.mask, "OM": several.mask["IM"]}, several.labels)
    torch.testing.assert_close(model(several).logits, model(one).logits)


@pytest.mark.parametrize("settings", [{"variant": "released"}, {"pooling": "representative"}])
def test_the_representative_glomerulus_is_the_first(settings: dict) -> None:
    model = network(MAPS, **settings)
    several = batch(MAPS, om=3)
    first = {**several.features, "OM": several.features["OM"][:, :1]}
    one = Batch.of(first, {**several.mask, "OM": several.mask["IM"]}, several.labels)
    torch.testing.assert_close(model(several).logits, model(one).logits, rtol=0, atol=0)


def test_several_glomeruli_are_weighted_and_the_weights_returned() -> None:
    model, several = network(MAPS), batch(MAPS, om=3)
    several.mask["OM"][1, 2] = False
    output = model(several)
    weight = output.weights["OM"]
    torch.testing.assert_close(weight.sum(1), torch.ones(3))
    assert weight[1, 2] == 0
    assert (weight[several.mask["OM"]] > 0).all()
    assert weight[0].unique().numel() == 3, "not a mean"
    assert torch.equal(output.weights["IM"], torch.ones(3, 1))


def test_a_bag_of_one_instance_equals_it_to_the_last_bit() -> None:
    pooled, mean = network(MAPS), network(MAPS, pooling="mean")
    for name, value in mean.state_dict().items():
        assert torch.equal(value, pooled.state_dict()[name]), "the pooling's own weights shift no other draw"
    torch.testing.assert_close(pooled(batch(MAPS)).logits, mean(batch(MAPS)).logits, rtol=0, atol=0)
    alone, several = batch(MAPS), batch(MAPS, om=3)
    mask = {**several.mask, "OM": torch.tensor([[True, False, False]] * 3)}
    padded = {**several.features, "OM": torch.cat([alone.features["OM"], several.features["OM"][:, 1:]], 1)}
    beside = Batch.of({**alone.features, "OM": padded["OM"]}, mask, alone.labels)
    torch.testing.assert_close(pooled(beside).logits, pooled(alone).logits, rtol=0, atol=0)


def panel_batch(slots: int = 4) -> Batch:
    """Three patients: all markers photographed; one not known; one negative without a picture."""
    given = batch(MAPS)
    mask = torch.ones(3, slots, dtype=torch.bool)
    mask[1, 2] = mask[2, 2] = False
    negative = torch.zeros(3, slots, dtype=torch.bool)
    negative[2, 2] = True
    maps = torch.randn((3, slots, *MAPS["IM"]), generator=torch.Generator().manual_seed(3))
    maps = maps * mask[:, :, None, None, None]
    maps[2] = maps[1]
    return Batch.of(
        {**given.features, "IM": maps}, {**given.mask, "IM": mask}, given.labels, given.ids, negative={"IM": negative}
    )


def test_a_negative_marker_is_not_a_missing_one() -> None:
    model, given = network(MAPS, slots=4), panel_batch()
    assert model.reads_negatives
    output = model(given)
    weight = output.weights["IM"]
    assert weight[1, 2] == 0, "nothing is known of it"
    assert weight[2, 2] > 0, "it was found negative"
    torch.testing.assert_close(weight.sum(1), torch.ones(3))
    model.loss(output, given.labels).backward()
    state = model.pools["IM"].negative.grad
    assert state[2].abs().max() > 0
    assert not state[[0, 1, 3]].any()


def test_a_patient_with_nothing_but_negative_markers_has_the_modality() -> None:
    model, given = network(MAPS, slots=4), panel_batch()
    mask, negative = given.mask["IM"].clone(), given.negative["IM"].clone()
    mask[2], negative[2] = False, torch.tensor([True, True, True, False])
    only = Batch.of(given.features, {**given.mask, "IM": mask}, given.labels, negative={"IM": negative})
    assert not only.lacking
    assert not torch.allclose(model(only).logits["fusion"][2], model(given).logits["fusion"][2])


def test_slots_have_their_own_parameters() -> None:
    model, given = network(MAPS, slots=4), panel_batch()
    order = [1, 0, 3, 2]
    swapped = Batch.of(
        {**given.features, "IM": given.features["IM"][:, order]},
        {**given.mask, "IM": given.mask["IM"][:, order]},
        given.labels,
        negative={"IM": given.negative["IM"][:, order]},
    )
    assert not torch.allclose(model(given).logits["IM"], model(swapped).logits["IM"])
    mean = network(MAPS, slots=4, pooling="mean")
    torch.testing.assert_close(mean(given).logits["IM"], mean(swapped).logits["IM"])
    with pytest.raises(NephroscaleError, match="4 marker slots, the network 3"):
        network(MAPS, slots=3)(given)


def lacking(given: Batch, **who: int) -> Batch:
    """The same batch, in which a patient lacks a modality (modality=place)."""
    masks = {name: mask.clone() for name, mask in given.mask.items()}
    features = {name: value.clone() for name, value in given.features.items()}
    for name, place in who.items():
        masks[name][place] = False
        features[name][place] = 0
    return Batch.of(features, masks, given.labels, given.ids)


@pytest.mark.parametrize("modality", list(MAPS))
@pytest.mark.parametrize("pixels", [False, True])
def test_a_patient_may_lack_a_modality(modality: str, pixels: bool) -> None:
    shapes = PIXELS if pixels else MAPS
    model = network(shapes, encoder=ENCODER if pixels else None)
    assert model.supports_missing_modalities
    whole = batch(shapes, (3, 2, 4), pixels)
    given = lacking(whole, **{modality: 1})
    assert given.lacking == (modality,)
    output, full = model(given, need_attention=True), model(whole)
    assert output.present[modality].tolist() == [True, False, True]
    for name in ("fusion", "TEM", "OM", "IM"):
        torch.testing.assert_close(output.logits[name][[0, 2]], full.logits[name][[0, 2]], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(output.logits["fusion"][1], full.logits["fusion"][1])
    rubbish = Batch(**{**vars(given), "features": {**given.features, modality: whole.features[modality]}})
    torch.testing.assert_close(model(rubbish, need_attention=True).logits, output.logits, rtol=0, atol=0)
    for name in ("OM", "IM"):
        assert bool(output.attention[name][1].any()) == (modality not in ("TEM", name))

    model.loss(output, given.labels).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    assert model.absent[modality].grad.abs().max() > 0
    weights = {"fusion": 1, "OM": 0.3, "IM": 0.5, "TEM": 0.2}
    there = {name: [0, 2] if name == modality else [0, 1, 2] for name in weights}
    expected = sum(
        weights[name] * cross_entropy(output.logits[name][there[name]], given.labels[there[name]], reduction="sum")
        for name in weights
    )
    torch.testing.assert_close(model.loss(output, given.labels), expected)


@pytest.mark.parametrize("pixels", [False, True])
def test_a_whole_batch_may_lack_a_modality(pixels: bool) -> None:
    shapes = PIXELS if pixels else MAPS
    model = network(shapes, encoder=ENCODER if pixels else None)
    given = lacking(lacking(lacking(batch(shapes, pixels=pixels), OM=0), OM=1), OM=2)
    output = model(given)
    model.loss(output, given.labels).backward()
    assert output.logits["fusion"].isfinite().all()
    assert not output.present["OM"].any()


def test_the_released_variant_needs_everything() -> None:
    assert not network(MAPS, variant="released").supports_missing_modalities
    assert not network(MAPS, variant="released").reads_negatives


@pytest.mark.parametrize("trainable", ["all", "last", "none"])
def test_only_unfrozen_parts_of_encoders_learn(trainable: str) -> None:
    model = network(PIXELS, encoder={**ENCODER, "trainable": trainable})
    given = batch(PIXELS, pixels=True)
    model.loss(model(given), given.labels).backward()
    for encoder in model.encoders.values():
        learns = [any(p.grad is not None for p in stage.parameters()) for stage in encoder.stages]
        assert learns == {"all": [True] * 3, "last": [False, False, True], "none": [False] * 3}[trainable]


def test_a_modality_without_features_is_an_error() -> None:
    with pytest.raises(NephroscaleError, match="IM"):
        network({"TEM": (2, 2, 8), "OM": (2, 2, 8)})


def test_a_prior_is_read_only_by_a_network_that_uses_it():
    given = batch(MAPS)
    weighed = replace(
        given, prior=torch.rand(given.mask["TEM"].shape, generator=torch.Generator().manual_seed(1)) + 0.1
    )
    torch.manual_seed(0)
    without = network(MAPS, tem_prior=False).eval()
    torch.manual_seed(0)
    using = network(MAPS).eval()
    for name, logits in using(given).logits.items():
        assert torch.equal(without(weighed).logits[name], logits)
    assert not torch.equal(using(weighed).logits["TEM"], using(given).logits["TEM"])
