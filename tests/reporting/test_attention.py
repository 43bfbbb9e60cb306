from collections import Counter

import numpy as np
import pytest
from scipy import stats

from nephroscale.arrays import write_arrays
from nephroscale.evaluation.deletion import Deletion
from nephroscale.evaluation.tables import PoolingWeight, write_rows
from nephroscale.reporting.attention import attention_cards, draw_attention, pool_deletions, read_attended
from nephroscale.reporting.report_inputs import FoldRun

MAP = np.array([[0.7, 0.1, 0.1], [0.02, 0.02, 0.02], [0.02, 0.01, 0.01]], np.float32)


def write_run(folder, fold, seed, rows, attention=MAP):
    folder.mkdir()
    write_rows(folder / "deletion.csv", Deletion, rows)
    cases = list(dict.fromkeys(row.patient_id for row in rows))
    maps = np.broadcast_to(attention.reshape(1, 1, -1), (len(cases), 9, 9)).astype(np.float32)
    write_arrays(folder / "attention", {"OM": maps}, {"patients": cases})
    pooled = [
        PoolingWeight(case, "OM", image, i, 0, "image", weight)
        for case in cases
        for i, (image, weight) in enumerate([("a", 0.2), ("b", 0.5), ("a", 0.3)])
    ]
    write_rows(folder / "pooling.csv", PoolingWeight, pooled)
    return FoldRun(fold, seed, folder)


def test_the_test_is_a_paired_interval_over_patients(tmp_path):
    falls = [(0.30, 0.10), (0.20, 0.10), (0.25, 0.05), (0.05, 0.01)]
    rows = [
        Deletion(f"P{i}", "OM", 9, 2, 0.9, 0.9 - highest, 0.9 - random) for i, (highest, random) in enumerate(falls)
    ]
    twice = [write_run(tmp_path / "a", "0", 1, rows), write_run(tmp_path / "b", "0", 2, rows)]
    found = pool_deletions(twice, {"P2": "Q", "P3": "Q"})["OM"]
    # The two biopsies of Q are averaged, and a second seed adds no patient.
    differences = [0.2, 0.1, (0.2 + 0.04) / 2]
    half = stats.t.ppf(0.975, 2) * np.std(differences, ddof=1) / 3**0.5
    assert found.patients == 3
    assert found.difference == pytest.approx(np.mean(differences))
    assert (found.low, found.high) == pytest.approx((np.mean(differences) - half, np.mean(differences) + half))
    assert found.holds


@pytest.mark.parametrize(("highest", "count"), [([0.1, 0.1], 1), ([0.2, 0.0, 0.1], 1), ([0.2], 0)])
def test_it_fails_without_a_difference_and_is_left_out_without_spread(tmp_path, highest, count):
    rows = [Deletion(f"P{i}", "OM", 9, 2, 0.9, 0.9 - fall, 0.8 + 0.001 * i) for i, fall in enumerate(highest)]
    found = pool_deletions([write_run(tmp_path / "a", "0", 1, rows)], {})
    assert len(found) == count
    assert not any(test.holds for test in found.values())


def test_attention_is_laid_over_the_crops_that_the_network_pooled(tmp_path):
    rows = [Deletion("P1", "OM", 9, 2, 0.9, 0.5, 0.8)]
    runs = [
        write_run(tmp_path / "late", "0", 2, rows, MAP[::-1]),
        write_run(tmp_path / "first", "0", 1, rows),
        FoldRun("1", 1, None),
    ]
    attended = read_attended(runs)["P1"]
    np.testing.assert_allclose(attended.maps["OM"], MAP, rtol=1e-6)
    for name, count in (("a", 2), ("b", 1)):
        crops = np.full((count, 30, 30, 3), 90, np.uint8)
        write_arrays(tmp_path / name, {"crops": crops}, {"um_per_px": 2.0})
    cards = attention_cards(attended, "OM", {"a": tmp_path / "a", "b": tmp_path / "b"})
    assert [(card.image_id, card.number, card.weight) for card in cards] == [
        ("b", 1, 0.5),
        ("a", 2, 0.3),
        ("a", 1, 0.2),
    ]
    assert cards[0].bar.label == "10 µm"  # at most 24 % of 60 µm


def test_the_deleted_regions_are_outlined_and_the_tint_follows_the_attention():
    drawn = draw_attention(np.full((30, 30, 3), 100, np.uint8), MAP).astype(int)
    side = len(drawn) // 3
    orange = [drawn[side // 2, side // 2 + side * k, 0] - drawn[side // 2, side // 2 + side * k, 2] for k in range(3)]
    assert orange[0] > 5 * orange[1] > 0
    white = np.argwhere((drawn == 255).all(2)) // side
    where = Counter(map(tuple, white.tolist()))
    assert {cell for cell, pixels in where.items() if pixels > side} == {(0, 0), (0, 1)}
