"""Training and prediction of the variants on synthetic micrographs: dark blots are deposits."""

import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from shapely import box as rectangle

from nephroscale.arrays import read_array, read_attributes, write_arrays
from nephroscale.deposits.backbone import pooled_features
from nephroscale.deposits.evaluate import evaluate_deposits
from nephroscale.deposits.images import InstanceSequence, find_contradictions, load_pictures
from nephroscale.deposits.localisation import localise, read_heat
from nephroscale.deposits.plain import list_items
from nephroscale.deposits.predictions import read_predictions, read_weight
from nephroscale.deposits.settings import COMBINED, EQUAL, BackboneSettings, DepositsSettings
from nephroscale.deposits.train import Task, make_backbone, read_validation, train_deposits
from nephroscale.errors import Rejected
from nephroscale.features.convert_weights import prepare_weights
from nephroscale.training.checkpoint import Checkpoint
from support.blots import PATIENTS, SIZE, write_blots

pytestmark = pytest.mark.slow

SETTINGS = DepositsSettings(backbone=BackboneSettings(size_px=SIZE), head_steps=60, epochs=2, batch_size=8)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Bags, folds with readings, and where the blots are."""
    prepare_weights("efficientnet-lite0")
    return write_blots(tmp_path_factory.mktemp("bags"))


def train(study, variant, out, *, settings=SETTINGS, seed=1, bags=None, work=None):
    own = {p: path for p, path in (bags or study[0]).items() if p in PATIENTS[:14]}
    checkpoint = Checkpoint(work or out.parent / f"{out.name}-work", "test")
    return train_deposits(Task(study[1], "0", "any", variant, seed), own, settings, checkpoint, out=out)


@pytest.fixture(scope="module")
def models(study, tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    for variant in SETTINGS.variants:
        train(study, variant, root / variant)
    return {variant: root / variant for variant in SETTINGS.variants}


@pytest.fixture(scope="module")
def evaluated(study, models, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluated") / "fold0"
    bags, folds, _ = study
    own = {patient: bags[patient] for patient in PATIENTS[14:]}
    figures = evaluate_deposits(models, folds.labels(PATIENTS[14:], "any"), own, SETTINGS, seed=1, out=out)
    return out, figures


def test_the_pretrained_variants_learn_the_blots(evaluated):
    out, figures = evaluated
    rows = read_predictions(out)
    assert len(rows) == figures["images"] == 8
    for variant in ("plain", "svm", COMBINED):
        assert all((row.probabilities[variant] > 0.5) == row.label for row in rows), variant


def test_both_systems_are_joined_by_a_weight_of_the_validation_side(evaluated, models):
    out, _ = evaluated
    weight = read_weight(out)
    assert 0 <= weight <= 1
    for row in read_predictions(out):
        p = row.probabilities
        assert p[COMBINED] == pytest.approx(weight * p["plain"] + (1 - weight) * p["svm"], abs=2e-6)
        assert p[EQUAL] == pytest.approx((p["plain"] + p["svm"]) / 2, abs=2e-6)
    assert read_validation(models["plain"]).keys() == read_validation(models["svm"]).keys()
    assert all(name[:3] in PATIENTS[10:14] for name in read_validation(models["plain"]))


def test_skips_join_the_features_of_all_stages(study, tmp_path, models):
    kinds = {variant: json.loads((models[variant] / "svm.json").read_text()) for variant in SETTINGS.variants[1:]}
    assert set(kinds) == {"svm", "svm-without-skips", "svm-random-weights"}
    assert train(study, "svm", tmp_path / "svm")["features"] == 24 + 40 + 80 + 112 + 192 + 320 + 1280
    assert train(study, "svm-without-skips", tmp_path / "last")["features"] == 1280


def test_a_training_is_equal_to_the_byte_also_after_it_was_killed(study, tmp_path, models, monkeypatch):
    whole = (models["plain"] / "weights.safetensors").read_bytes()
    work = tmp_path / "work"
    save = Checkpoint.save

    def killed(self, network, optimizer, progress):
        save(self, network, optimizer, progress)
        if len(progress.curve) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        train(study, "plain", tmp_path / "cut", work=work)
    monkeypatch.setattr(Checkpoint, "save", save)
    (tmp_path / "cut").rmdir()
    train(study, "plain", tmp_path / "cut", work=work)
    assert (tmp_path / "cut" / "weights.safetensors").read_bytes() == whole


def test_pixels_of_test_patients_reach_no_training(study, tmp_path, models):
    """The bags of test patients are not even there."""
    train(study, "svm", tmp_path / "svm", bags={p: study[0][p] for p in PATIENTS[:14]})
    for name in ("svm.safetensors", "svm.json", "validation.csv"):
        assert (tmp_path / "svm" / name).read_bytes() == (models["svm"] / name).read_bytes()


def test_a_site_without_positive_images_is_rejected_with_the_reason(study, tmp_path):
    task = Task(study[1], "0", "mesangial", "svm", 1)
    with pytest.raises(Rejected, match="training side are without deposits; read images with deposits, too"):
        train_deposits(task, study[0], SETTINGS, Checkpoint(tmp_path, "x"), out=tmp_path / "out")


def test_the_network_looks_at_the_blots(study, evaluated):
    """A hit by chance has a probability of about a quarter here."""
    out, _ = evaluated
    heats, places = read_heat(out), study[2]
    found = [localise(heats[name], rectangle(x, y, x + 14, y + 14)) for name, (y, x) in places.items() if name in heats]
    assert found
    assert np.mean([one.precision / one.precision_by_chance for one in found]) > 1.5


def pictures(folder, counts):
    """Images A, B, ... with so many instances each, of one patient."""
    owner = np.repeat(np.arange(len(counts)), counts)
    pixels = np.random.default_rng(0).integers(0, 256, (len(owner), 2 * SIZE, 2 * SIZE), np.uint8)
    place = np.tile(np.array([0, 0, SIZE, SIZE]), (len(owner), 1))
    names = [chr(65 + index) for index in range(len(counts))]
    arrays = {"images": pixels, "image": owner.astype(np.int16), "box": place, "valid": place}
    write_arrays(folder / "P.zarr", arrays, {"images": names, "copies": {"Z": "B", "Y": "A", "X": "A"}})
    return load_pictures({"P": folder / "P.zarr"}, None, SIZE)


def test_memory_holds_a_batch_of_instances(tmp_path):
    instances = InstanceSequence(pictures(tmp_path, [1, 300, 99]))
    tracemalloc.start()
    batches = sum(1 for _ in instances.batches(8))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert batches == 50
    assert peak < 0.1 * len(instances) * SIZE**2
    assert np.array_equal(instances.read([350, 2]), [instances.pictures[2].read(49), instances.pictures[1].read(1)])


def test_features_do_not_depend_on_how_instances_are_read(tmp_path):
    own = pictures(tmp_path, [3, 1, 2])
    backbone = make_backbone(SETTINGS, "svm", 0)
    all_at_once = torch.from_numpy(np.concatenate([[one.read(i) for i in range(len(one))] for one in own]))
    with torch.inference_mode():
        expected = [backbone.pooled(all_at_once[start : start + 4]) for start in (0, 4)]
    for stage, found in enumerate(pooled_features(backbone, own, "cpu", 4)):
        whole = torch.cat([part[stage] for part in expected]).double().numpy()
        means = [whole[:3].mean(0), whole[3], whole[4:].mean(0)]
        np.testing.assert_allclose(found, np.stack(means).astype(np.float32), rtol=1e-6)


def test_bfloat16_rounds_the_features(tmp_path):
    own = pictures(tmp_path, [3, 1])
    found = {}
    for precision in ("float32", "bfloat16"):
        settings = replace(SETTINGS, backbone=replace(SETTINGS.backbone, precision=precision))
        found[precision] = pooled_features(make_backbone(settings, "svm", 0), own, "cpu", 4)
    for full, reduced in zip(*found.values(), strict=True):
        assert reduced.dtype == np.float32
        assert 0 < np.abs(full - reduced).max() < 0.05 * np.abs(full).max()


def test_patches_of_an_image_weigh_as_much_as_an_image(tmp_path):
    assert load_pictures({}, None, SIZE) == []
    items = list_items([replace(picture, label=picture.id == "A") for picture in pictures(tmp_path, [3, 1])])
    assert items.weights.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1])
    assert items.labels.tolist() == [True, True, True, False]


def test_a_reading_of_a_copy_counts_for_the_image_that_is_used(tmp_path):
    pictures(tmp_path, [1, 1, 1])
    bags = {"P": tmp_path / "P.zarr"}
    found = load_pictures(bags, {"Z": True, "C": False}, SIZE)
    assert [(one.id, one.label) for one in found] == [("B", True), ("C", False)]
    own = load_pictures(bags, {"A": False, "Y": True, "X": True}, SIZE)
    assert [(one.id, one.label) for one in own] == [("A", False)]  # its own reading counts first


def test_copies_that_were_read_differently_are_named(tmp_path):
    pictures(tmp_path, [1, 1, 1])
    bags = {"P": tmp_path / "P.zarr"}
    copies = read_attributes(bags["P"])["copies"]
    copy, original = next(iter(copies.items()))
    found = find_contradictions(bags, {"P": {copy: "0", original: "mesangial"}, "Q": {}})
    assert list(found) == [copy]
    assert found[copy].startswith(f"read as 0, but it shows the same as {original}, read as mesangial")
    for readings in ({copy: "1", original: "1"}, {copy: "0"}, {original: "0"}):
        assert find_contradictions(bags, {"P": readings}) == {}


def test_heat_has_a_map_for_each_instance(evaluated):
    out, _ = evaluated
    assert read_array(out / "heat.zarr", "heat").shape == (8, 8, 8)
    assert len(read_attributes(out / "heat.zarr")["images"]) == 8
    assert torch.get_deterministic_debug_mode() == 2
