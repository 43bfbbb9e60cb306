"""Random streams and textures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nephroscale_demo.noise import as_distance, cells, cloud, grain, smoothstep, stream


@given(st.integers(0, 2**31), st.text(max_size=8), st.text(max_size=8))
def test_streams_depend_on_seed_and_names_alone(seed, first, second):
    one = stream(seed, first, second).random(4)
    assert (one == stream(seed, first, second).random(4)).all()
    assert (one != stream(seed + 1, first, second).random(4)).any()
    assert (one != stream(seed, first, second, "").random(4)).any()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(0.5, 60), st.integers(1, 4))
def test_clouds_are_standardised_and_single_precision(seed, size, octaves):
    values = cloud(stream(seed), (160, 200), size, octaves=octaves)
    assert values.shape == (160, 200)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    assert np.abs(values).max() < 12


def test_clouds_have_about_unit_spread():
    spreads = [cloud(stream(s), (300, 300), 9.0).std() for s in range(6)]
    assert 0.8 < np.mean(spreads) < 1.2


def test_grain_covers_any_shape():
    assert grain(stream(1), (700, 30), 64).shape == (700, 30)


def test_cells_measure_the_distance_to_their_border():
    y, x = np.mgrid[0:90, 0:120].astype(np.float32)
    found = cells(stream(3), y, x, 25.0)
    assert (found.edge >= 0).all()
    assert (found.corner >= found.edge).all()
    border = found.index[:, 1:] != found.index[:, :-1]
    assert found.edge[:, 1:][border].max() < 1.0
    values = found.sample(stream(4), 2.0, 3.0)
    assert all(len(np.unique(values[found.index == i])) == 1 for i in np.unique(found.index))


def test_as_distance_undoes_a_stretch():
    x = np.tile(np.arange(-40, 40, dtype=np.float32), (20, 1))
    assert as_distance(3 * x, 1.0)[10, 30:50] == pytest.approx(x[10, 30:50], abs=0.1)


def test_smoothstep_rises_or_falls():
    values = np.linspace(-2, 2, 50, dtype=np.float32)
    assert (np.diff(smoothstep(values, -1, 1)) >= 0).all()
    assert (np.diff(smoothstep(values, 1, -1)) <= 0).all()
