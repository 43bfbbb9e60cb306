import numpy as np
import pytest

from nephroscale.evaluation.near_patients import find_near_patients, pool_halves


def maps(random, centre, count=10):
    return (centre + random.normal(0, 0.5, (count, 2, 2, 16))).astype(np.float32)


@pytest.fixture
def halves():
    random = np.random.default_rng(1)
    found = {f"P{i:02d}": pool_halves(maps(random, random.normal(size=16))) for i in range(30)}
    assert all(each is not None and each.shape == (2, 16) for each in found.values())
    return found


def test_patients_who_have_nothing_in_common_are_not_named(halves):
    assert find_near_patients(halves, {}, "OM") == []


def test_other_instances_of_one_patient_under_a_second_id_are_named(halves):
    """Half of the pairs with equal centres are named, as the distances within and across are then equally likely."""
    random = np.random.default_rng(2)
    named = 0
    for _ in range(40):
        centre = random.normal(size=16)
        twins = {name: pool_halves(maps(random, centre)) for name in ("P90", "P91")}
        found = find_near_patients(halves | twins, {}, "OM")
        assert {(pair.first, pair.second, pair.modality) for pair in found} <= {("P90", "P91", "OM")}
        named += len(found)
    assert 8 <= named <= 32


def test_a_copy_is_named_unless_it_is_known_to_be_one(halves):
    copied = halves | {"P98": halves["P07"] + 1e-6}
    (pair,) = find_near_patients(copied, {}, "TEM")
    assert (pair.first, pair.second) == ("P07", "P98")
    assert pair.ratio == pytest.approx(np.sqrt(0.5), abs=1e-3)  # two of the four pairs of halves are equal
    assert find_near_patients(copied, {"P07": "one", "P98": "one"}, "TEM") == []


def test_there_is_nothing_to_compare():
    assert pool_halves(np.ones((1, 2, 2, 3))) is None
    assert find_near_patients({}, {}, "OM") == []
    assert find_near_patients({"a": np.ones((2, 3))}, {}, "OM") == []
    assert find_near_patients({"a": np.ones((2, 3)), "b": np.ones((2, 3))}, {}, "OM") == []
