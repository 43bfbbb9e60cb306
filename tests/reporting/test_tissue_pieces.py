import numpy as np
import pytest

from nephroscale.reporting.tissue_pieces import count_in_pieces

TISSUE = np.array([[1, 1, 0, 0, 1], [0, 0, 1, 0, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]], bool)


@pytest.mark.parametrize(
    ("points", "counts"),
    [
        ([(0.5, 0.5), (1.2, 2.7)], [2]),  # tiles that touch at a corner are one piece
        ([(0.5, 0.5), (0.5, 4.5), (1.5, 4.1), (3.5, 0.5)], [2, 1, 1]),
        ([(0.5, 3.9)], [1]),  # beside the tissue
        ([(2.9, 0.6), (3.1, 0.4), (0.1, 0.1)], [2, 1]),
        ([], []),
    ],
)
def test_glomeruli_are_counted_in_connected_pieces(points, counts):
    rows, columns = np.array(points, float).reshape(-1, 2).T
    assert count_in_pieces(TISSUE, rows, columns) == counts


def test_without_a_tile_of_tissue_all_are_in_one_piece():
    assert count_in_pieces(np.zeros((2, 2), bool), np.array([0.5, 1.5]), np.array([0.5, 1.5])) == [2]
