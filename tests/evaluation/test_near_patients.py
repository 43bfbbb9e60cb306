import numpy as np
import pytest

from nephroscale.evaluation.near_patients import EXPECTED, FEWEST, find_near_patients, pool_instances


def maps(random, centre, count=10, noise=0.5):
    return (centre + random.normal(0, noise, (count, 2, 2, len(centre)))).astype(np.float32)


def cohort(random, cases=30, channels=16, clusters=1, **options):
    """Cases of patients around the centres of clusters, which differ more than the patients."""
    middles = random.normal(0, 3, (clusters, channels))
    centres = [middles[random.integers(clusters)] + random.normal(size=channels) for _ in range(cases)]
    return {f"P{i:03d}": pool_instances(maps(random, centre, **options)) for i, centre in enumerate(centres)}


@pytest.fixture
def pooled():
    found = cohort(np.random.default_rng(1))
    assert all(each.shape == (10, 16) for each in found.values())
    return found


def names(check):
    return {(pair.first, pair.second) for pair in check.pairs}


@pytest.mark.parametrize(("cases", "channels", "clusters"), [(12, 3, 1), (30, 16, 1), (60, 5, 4), (40, 62, 3)])
def test_patients_who_have_nothing_in_common_are_hardly_ever_listed(cases, channels, clusters):
    """In one cohort of twenty, by definition of the limit; the limit is conservative."""
    random = np.random.default_rng(cases)
    alarms = [bool(find_near_patients(cohort(random, cases, channels, clusters), {}, "OM").pairs) for _ in range(40)]
    assert sum(alarms) <= 4


def test_other_instances_of_one_patient_under_a_second_id_are_listed(pooled):
    random = np.random.default_rng(2)
    centre = random.normal(size=16)
    twins = {name: pool_instances(maps(random, centre)) for name in ("P900", "P901")}
    check = find_near_patients(pooled | twins, {}, "OM")
    assert names(check) == {("P900", "P901")}
    assert (check.modality, check.cases) == ("OM", 32)
    (pair,) = check.pairs
    assert 0 < pair.ratio < 0.5
    assert pair.expected < EXPECTED


def test_three_ids_of_one_patient_do_not_hide_each_other(pooled):
    random = np.random.default_rng(3)
    centre = random.normal(size=16)
    triple = {name: pool_instances(maps(random, centre, noise=0.1)) for name in ("P900", "P901", "P902")}
    found = names(find_near_patients(pooled | triple, {}, "OM"))
    assert found == {("P900", "P901"), ("P900", "P902"), ("P901", "P902")}


def test_a_copy_is_listed_unless_it_is_known_to_be_one(pooled):
    copied = pooled | {"P098": pooled["P007"] + 1e-9}
    (pair,) = find_near_patients(copied, {}, "TEM").pairs
    assert (pair.first, pair.second, pair.ratio, pair.expected) == ("P007", "P098", 0, 0)
    assert find_near_patients(copied, {"P007": "one", "P098": "one"}, "TEM").pairs == ()


def test_a_patient_s_biopsies_are_no_neighbours_and_hide_no_second_id(pooled):
    random = np.random.default_rng(4)
    centre = random.normal(size=16)
    cases = {name: pool_instances(maps(random, centre, noise=0.1)) for name in ("P900-B1", "P900-B2", "P901")}
    person = {"P900-B1": "P900", "P900-B2": "P900"}
    assert names(find_near_patients(pooled | cases, person, "OM")) == {("P900-B1", "P901"), ("P900-B2", "P901")}


def test_it_is_counted_how_many_divided_patients_would_be_listed():
    """All of them where patients differ much more than their instances, none where they do not differ."""
    random = np.random.default_rng(5)
    apart = find_near_patients(cohort(random, noise=0.1), {}, "TEM")
    assert (apart.divided, apart.found) == (30, 30)
    alike = find_near_patients({f"P{i:03d}": random.normal(size=(6, 16)) for i in range(30)}, {}, "TEM")
    assert (alike.divided, alike.found) == (30, 0)
    single = find_near_patients({f"P{i:03d}": random.normal(size=(1, 16)) for i in range(30)}, {}, "OM")
    assert (single.cases, single.divided, single.found) == (30, 0, 0)


def test_an_actual_division_is_found_as_often_as_it_is_counted():
    """The count is an estimate: it leaves the gaps of the other cases as they are."""
    random = np.random.default_rng(6)
    pooled = cohort(random, cases=25, channels=10, noise=0.7)
    check = find_near_patients(pooled, {}, "TEM")
    found = 0
    for case, instances in pooled.items():
        rest = {name: each for name, each in pooled.items() if name != case}
        halves = {f"{case}-1": instances[::2], f"{case}-2": instances[1::2]}
        found += (f"{case}-1", f"{case}-2") in names(find_near_patients(rest | halves, {}, "TEM"))
    assert 3 < found < 25
    assert abs(found - check.found) <= 2


def test_of_few_cases_only_equal_ones_are_listed():
    random = np.random.default_rng(7)
    few = cohort(random, cases=FEWEST - 2, noise=0.01)
    twin = {"P900": few["P001"] + random.normal(0, 0.001, 16)}
    assert find_near_patients(few | twin, {}, "OM").pairs == ()
    assert names(find_near_patients(few | {"P900": few["P001"]}, {}, "OM")) == {("P001", "P900")}


def test_there_is_nothing_to_compare():
    assert find_near_patients({}, {}, "OM").pairs == ()
    assert find_near_patients({"a": np.ones((2, 3))}, {}, "OM").cases == 1
    assert find_near_patients({name: np.ones((2, 3)) for name in "abc"}, {}, "OM").pairs == ()
    random = np.random.default_rng(8)
    one_person = {f"P{i}": random.normal(size=(2, 3)) for i in range(12)}
    assert find_near_patients(one_person, dict.fromkeys(one_person, "one"), "OM").pairs == ()
