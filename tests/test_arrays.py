import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nephroscale.arrays import read_array, read_attributes, write_arrays
from nephroscale.errors import NephroscaleError


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from(["<f4", "<f2", "u1", "<u2", "<i8", "?"]),
        hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5),
    )
)
def test_what_is_written_is_mapped_and_is_valid_zarr(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("arrays") / "group"
    write_arrays(path, {"a": array}, {"k": [1, "ü"]})
    back = read_array(path, "a")
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(np.asarray(back), array)
    np.testing.assert_array_equal(zarr.open_group(path, mode="r")["a"][...], array)
    assert read_attributes(path) == {"k": [1, "ü"]}
    if array.size:
        assert isinstance(back, np.memmap)


def test_all_zero_arrays_have_a_chunk_file(tmp_path):
    write_arrays(tmp_path / "g", {"z": np.zeros((3, 2), np.float32)})
    assert (tmp_path / "g/z/c/0/0").stat().st_size == 24


def test_equal_input_gives_equal_bytes(tmp_path):
    for name in "ab":
        write_arrays(tmp_path / name, {"y": np.arange(4), "x": np.ones(2)}, {"b": 1, "a": 2})
    files = [
        sorted((p.relative_to(tmp_path / n), p.read_bytes()) for p in (tmp_path / n).rglob("*") if p.is_file())
        for n in "ab"
    ]
    assert files[0] == files[1]


def test_a_chunked_array_is_refused(tmp_path):
    zarr.open_group(tmp_path / "g", mode="w").create_array("a", data=np.arange(10), chunks=(5,))
    with pytest.raises(NephroscaleError, match="not a single uncompressed chunk"):
        read_array(tmp_path / "g", "a")
    with pytest.raises(NephroscaleError, match="has no array"):
        read_array(tmp_path / "g", "b")
