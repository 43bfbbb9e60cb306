import cv2
import numpy as np
import pytest

from nephroscale.tem.shapes import LITTLE, SPARSE, label_shapes


@pytest.mark.parametrize("share", [0.0, SPARSE / 4, SPARSE / 1.5, 3 * SPARSE, 2 * LITTLE])
def test_shapes_are_those_of_opencv(share: float) -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        height, width = random.integers(1, 160, 2)
        mask = random.random((height, width)) < share / 4
        mask = cv2.dilate(mask.view(np.uint8), np.ones((2, 2), np.uint8)) > 0
        labels, stats = label_shapes(mask)
        count, expected, expected_stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
        assert np.array_equal(labels > 0, mask)
        assert len(stats) == count
        same = np.unique(np.stack([labels[mask], expected[mask]]), axis=1)
        assert same.shape[1] == count - 1
        assert np.array_equal(stats[same[0]], expected_stats[same[1]])


def test_a_shape_does_not_go_on_in_the_next_row() -> None:
    mask = np.zeros((30, 20), bool)
    mask[4, -3:] = mask[5, :2] = mask[7, 5:9] = mask[8, 9] = True
    labels, stats = label_shapes(mask)
    assert len(stats) == 4
    assert stats[labels[8, 9]].tolist() == [5, 7, 5, 2, 5]
