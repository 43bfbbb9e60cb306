import cv2
import numpy as np
import pytest

from nephroscale.tem.shapes import LITTLE, SMALL, SPARSE, dilated, find_shapes, label_shapes, sparsely_dilated


@pytest.mark.slow
@pytest.mark.parametrize("longest", [160, 600])
@pytest.mark.parametrize("share", [0.0, LITTLE / 200, LITTLE / 20, LITTLE / 4, 2 * LITTLE])
def test_shapes_are_those_of_opencv(share: float, longest: int) -> None:
    random = np.random.default_rng(0)
    for _ in range(10):
        height, width = random.integers(1, longest, 2)
        mask = random.random((height, width)) < share / 4
        mask = cv2.dilate(mask.view(np.uint8), np.ones((2, 2), np.uint8)) > 0
        labels, stats = label_shapes(mask)
        count, expected, expected_stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
        assert np.array_equal(labels > 0, mask)
        assert len(stats) == count
        same = np.unique(np.stack([labels[mask], expected[mask]]), axis=1)
        assert same.shape[1] == count - 1
        assert np.array_equal(stats[same[0]], expected_stats[same[1]])
        if mask.size <= SMALL or mask.mean() > SPARSE:
            assert np.array_equal(labels, expected)
        places = {(x, y, w, h, area) for x, y, w, h, area in expected_stats[1:].tolist()}
        found = find_shapes(mask)
        assert {(x, y, *shape.shape[::-1], shape.sum()) for y, x, shape in found} == places
        assert len(found) == count - 1
        assert np.array_equal(sparsely_dilated(mask, 4), dilated(mask, 4))


def test_a_shape_does_not_go_on_in_the_next_row() -> None:
    mask = np.zeros((30, 20), bool)
    mask[4, -3:] = mask[5, :2] = mask[7, 5:9] = mask[8, 9] = True
    labels, stats = label_shapes(mask)
    assert len(stats) == 4
    assert stats[labels[8, 9]].tolist() == [5, 7, 5, 2, 5]
