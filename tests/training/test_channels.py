"""Mean and standard deviation of the channels of some patients' features."""

from collections.abc import Sequence

import numpy as np
import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.training.channels import measure_channels
from nephroscale.training.data import Bag, BagSource, ModalityBag
from support.stored_features import Cohort


def bag(patient: str, maps: np.ndarray, rows: Sequence[int] | None = None) -> Bag:
    chosen = np.arange(len(maps)) if rows is None else np.array(rows)
    images = tuple(f"{patient}-{row}" for row in chosen)
    return Bag(patient, 0, {"IM": ModalityBag(maps, chosen, images, int((chosen >= 0).sum()))})


def measured(bags: Sequence[Bag], modality: str = "IM") -> tuple[np.ndarray, np.ndarray]:
    found = measure_channels(bags, modality)
    assert found is not None
    return found


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 7])
def test_it_equals_the_mean_and_deviation_over_all_cells(dtype: type, channels: int) -> None:
    random = np.random.default_rng(1)
    maps = [(1e3 + random.normal(size=(n, 3, 2, channels))).astype(dtype) for n in (1, 4, 2)]
    mean, deviation = measured([bag(f"P{i}", one) for i, one in enumerate(maps)])
    cells = np.concatenate([one.reshape(-1, channels) for one in maps]).astype(np.float64)
    np.testing.assert_allclose(mean, cells.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(deviation, cells.std(axis=0), rtol=1e-9)


def test_a_constant_channel_has_a_deviation_of_one() -> None:
    maps = np.random.default_rng(1).normal(size=(5, 3, 3, 4)).astype(np.float32)
    maps[..., 1], maps[..., 2] = 0, 0.1
    for instances in (maps, maps[:1, :1, :1]):
        mean, deviation = measured([bag("P1", instances)])
        assert deviation[1] == deviation[2] == 1
        assert mean[1:3] == pytest.approx([0, 0.1])
        assert (deviation > 0).all()


def test_empty_slots_and_images_that_were_not_drawn_do_not_count() -> None:
    maps = np.random.default_rng(1).normal(size=(4, 2, 2, 3)).astype(np.float32)
    found = measured([bag("P1", maps, [2, -1, 0])])
    np.testing.assert_array_equal(found, measured([bag("P1", maps[[2, 0]])]))


@pytest.mark.slow
def test_patients_without_the_modality_do_not_count(cohort: Cohort) -> None:
    opened = BagSource(cohort.features, lacking={"P001": {"OM"}}).open(cohort.ids[:3], ("OM",))
    with_two = BagSource(cohort.features).open(["P000", "P002"], ("OM",))
    np.testing.assert_array_equal(measured(opened, "OM"), measured(with_two, "OM"))
    assert measure_channels(opened, "TEM") is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_feature_that_is_not_finite_is_named(value: float) -> None:
    maps = np.ones((3, 2, 2, 3), np.float32)
    maps[1, 0, 1, 2] = value
    with pytest.raises(NephroscaleError, match="IM features of patient P2 are not finite"):
        measure_channels([bag("P1", np.ones((3, 2, 2, 3), np.float32)), bag("P2", maps)], "IM")
