import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from nephroscale.store import digest
from nephroscale.store.digest import digest_file, digest_json, digest_tree

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@given(st.dictionaries(st.text(), json_values, max_size=6))
def test_json_digest_does_not_depend_on_the_order_of_keys(value):
    assert digest_json(value) == digest_json(dict(reversed(value.items())))


def test_a_file_is_named_by_blake3(tmp_path):
    data = bytes(range(256)) * 40000
    (tmp_path / "f").write_bytes(data)
    assert digest_file(tmp_path / "f") == blake3(data).hexdigest()
    digest, kind, entries = digest_tree(tmp_path / "f")
    assert (digest, kind, entries[0].path, entries[0].size) == (blake3(data).hexdigest(), "file", "", len(data))


def test_a_directory_is_named_by_paths_and_bytes(tmp_path):
    def make(name, files):
        for path, text in files.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_text(text)
        return digest_tree(tmp_path / name)[0]

    first = make("a", {"x/1": "one", "y": "two"})
    assert make("b", {"y": "two", "x/1": "one"}) == first
    assert make("c", {"x/1": "one", "y": "three"}) != first
    assert make("d", {"x/2": "one", "y": "two"}) != first
    assert make("e", {"x/1": "one", "y": "two", "z": ""}) != first


def test_files_of_every_size_around_a_block_are_read_to_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(digest, "_CHUNK", 64)
    for size in [0, 1, 62, 63, 64, 65, 127, 128, 129, 1000]:
        data = bytes(range(256)) * 4
        (tmp_path / "f").write_bytes(data[:size])
        assert digest_file(tmp_path / "f") == blake3(data[:size]).hexdigest(), size
