"""Bags and batches, and the released code's faults 6 and 8 to 10."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nephroscale.errors import NephroscaleError
from nephroscale.training.data import BagSource, collate, holds_pixels, layouts_of, shapes_of, thinned
from nephroscale.training.epoch import batches
from nephroscale.training.missing import drop_modalities
from nephroscale.training.tem_priors import TemPriors
from support.stored_features import Cohort, write_bag

ALL = ("TEM", "OM", "IM")


def test_bags_are_memory_maps(cohort: Cohort) -> None:
    bags = BagSource(cohort.features, cohort.labels).open(cohort.ids, ALL)
    assert [bag.patient for bag in bags] == cohort.ids
    assert all(isinstance(content.source, np.memmap) for bag in bags for content in bag.modalities.values())
    assert shapes_of(bags) == dict.fromkeys(ALL, (2, 2, 8))
    assert holds_pixels(bags) == dict.fromkeys(ALL, False)


def test_a_batch_is_padded_and_masked(cohort: Cohort) -> None:
    bags = BagSource(cohort.features, cohort.labels).open(cohort.ids, ALL)
    batch = collate(bags)
    lengths = [len(bag.modalities["TEM"].rows) for bag in bags]
    assert batch.features["TEM"].shape == (12, max(lengths), 2, 2, 8)
    assert batch.mask["TEM"].sum(1).tolist() == lengths
    assert not batch.features["TEM"][~batch.mask["TEM"]].any()
    for i, bag in enumerate(bags):
        np.testing.assert_array_equal(batch.features["TEM"][i, : lengths[i]], bag.modalities["TEM"].source)
    assert batch.ids == tuple(cohort.ids)
    assert batch.labels.tolist() == [cohort.labels[patient] for patient in cohort.ids]


def test_fault_6_no_patient_is_dropped(cohort: Cohort) -> None:
    bags = BagSource(cohort.features, cohort.labels).open(cohort.ids[:7], ["OM"])
    assert [who for batch in batches(bags, 3, "cpu") for who in batch.ids] == cohort.ids[:7]


def test_fault_9_a_missing_image_does_not_shift_other_patients(cohort: Cohort) -> None:
    features = {patient: dict(paths) for patient, paths in cohort.features.items()}
    del features["P001"]["OM"]
    with pytest.raises(NephroscaleError, match="Patient P001 has no OM features"):
        BagSource(features).open(cohort.ids, ALL)
    present = [patient for patient in cohort.ids if patient != "P001"]
    for bag in BagSource(features).open(present, ALL):
        assert bag.modalities["OM"].images == (f"{bag.patient}-OM-0",)
    assert BagSource(features).open(["P001"], ["TEM"])[0].patient == "P001"


def test_an_empty_bag_is_an_error(tmp_path: Path) -> None:
    path = write_bag(tmp_path / "P" / "TEM.zarr", np.zeros((0, 2, 2, 8), np.float32))
    with pytest.raises(NephroscaleError, match="Patient P has no TEM features"):
        BagSource({"P": {"TEM": path}}).open(["P"], ["TEM"])


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    array = np.arange(20, dtype=np.float32)[:, None, None, None] * np.ones((1, 1, 1, 2), np.float32)
    folder = tmp_path_factory.mktemp("large")
    return {who: {"TEM": write_bag(folder / who / "TEM.zarr", array)} for who in ("A", "B")}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 25))
def test_fault_10_the_subset_depends_on_seed_and_patient_only(
    large: dict[str, dict[str, Path]], seed: int, most: int
) -> None:
    def rows(*ids: str) -> dict[str, list[int]]:
        bags = BagSource(large).open(ids, ["TEM"], max_tem_instances=most, seed=seed)
        assert thinned(bags) == ({who: [most, 20] for who in sorted(ids)} if most < 20 else {})
        return {bag.patient: bag.modalities["TEM"].rows.tolist() for bag in bags}

    chosen = rows("A", "B")
    assert rows("B", "A") == chosen
    assert rows("A") == {"A": chosen["A"]}
    assert chosen["A"] == sorted(set(chosen["A"]))
    assert len(chosen["A"]) == min(most, 20)


def test_fault_10_the_subset_is_not_the_first_files(large: dict[str, dict[str, Path]]) -> None:
    def chosen(seed: int) -> list[int]:
        bags = BagSource(large).open(["A", "B"], ["TEM"], max_tem_instances=10, seed=seed)
        return [bag.modalities["TEM"].rows.tolist() for bag in bags]

    assert chosen(1) != chosen(2)
    assert chosen(1)[0] != chosen(1)[1]
    assert list(range(10)) not in chosen(1)


def test_image_ids_match_the_selected_instances(large: dict[str, dict[str, Path]]) -> None:
    bag = BagSource(large).open(["A"], ["TEM"], max_tem_instances=5)[0].modalities["TEM"]
    assert list(bag.images) == [f"A-TEM-{row}" for row in bag.rows]
    batch = collate(BagSource(large).open(["A"], ["TEM"], max_tem_instances=5))
    assert batch.features["TEM"][0, :, 0, 0, 0].tolist() == bag.rows.tolist()


def test_markers_have_their_slots(tmp_path: Path) -> None:
    array = np.arange(1, 5, dtype=np.float32)[:, None, None, None] * np.ones((1, 1, 1, 2), np.float32)
    slot = np.array([3, 0, 0, 2], np.int8)
    path = write_bag(tmp_path / "P" / "IM.zarr", array, "IM", slot=slot, panel=["IgA", "IgG", "IgM", "C3"])
    bags = BagSource({"P": {"IM": path}}).open(["P"], ["IM"])
    assert bags[0].modalities["IM"].rows.tolist() == [1, -1, 3, 0], "of two in one slot the first, which is the best"
    assert bags[0].modalities["IM"].images == ("P-IM-1", "", "P-IM-3", "P-IM-0")
    batch = collate(bags)
    assert batch.mask["IM"].tolist() == [[True, False, True, True]]
    assert batch.features["IM"][0, :, 0, 0, 0].tolist() == [2, 0, 4, 1]


def test_patches_are_pooled_within_their_image(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float16)[:, None, None, None] * np.ones((1, 1, 1, 2), np.float16)
    image = np.array([0, 0, 2, 2, 2, 5], np.int16)
    path = write_bag(tmp_path / "P" / "TEM.zarr", array, image=image)
    bags = BagSource({"P": {"TEM": path}}).open(["P"], ["TEM"])
    assert bags[0].modalities["TEM"].images == ("P-TEM-0", "P-TEM-2", "P-TEM-5")
    assert collate(bags).features["TEM"][0, :, 0, 0, 0].tolist() == [0.5, 3, 5]


def test_patches_with_a_trainable_encoder_are_an_error(tmp_path: Path) -> None:
    array, image = np.zeros((2, 16, 16, 3), np.uint8), np.zeros(2, np.int16)
    path = write_bag(tmp_path / "P" / "TEM.zarr", array, image=image)
    with pytest.raises(NephroscaleError, match="several patches of one image"):
        BagSource({"P": {"TEM": path}}).open(["P"], ["TEM"])


def test_bags_of_different_encoders_are_an_error(tmp_path: Path) -> None:
    paths = {
        who: {"OM": write_bag(tmp_path / who / "OM.zarr", np.ones((1, 2, 2, width), np.float32), "OM")}
        for who, width in (("A", 8), ("B", 9))
    }
    with pytest.raises(NephroscaleError, match="patient B have another shape"):
        shapes_of(BagSource(paths).open(["A", "B"], ["OM"]))


def test_priors_follow_the_images_that_were_drawn(large: dict[str, dict[str, Path]]) -> None:
    images = {f"A-TEM-{i}": 0.01 * (i + 1) for i in range(30)}
    source = BagSource(large, priors=TemPriors(images, 0.5))
    bags = source.open(["A", "B"], ["TEM"], max_tem_instances=5)
    drawn = bags[0].modalities["TEM"]
    np.testing.assert_allclose(drawn.prior, [images[image] for image in drawn.images], rtol=1e-6)
    batch = collate([*bags, replace(bags[0], modalities={})], layouts_of(bags))
    assert batch.prior.shape == batch.mask["TEM"].shape
    assert (batch.prior[0, : len(drawn.prior)].numpy() == drawn.prior).all()
    assert (batch.prior[1][batch.mask["TEM"][1]] == 0.5).all()
    assert (batch.prior[2] == 1).all()
    assert drop_modalities(batch, 0.5, torch.Generator()).prior is batch.prior
    assert collate(BagSource(large).open(["A"], ["TEM"])).prior is None
