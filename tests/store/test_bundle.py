import json
import os

import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.store import bundle
from nephroscale.store.objects import Store
from nephroscale.store.receipts import Receipt
from nephroscale.store.recipe import Recipe
from nephroscale.store.records import Records


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def make(store, name, folder):
    recipe = Recipe("stage", settings={"name": name})
    with store.scratch() as scratch:
        out = scratch / "out"
        if folder:
            (out / "sub").mkdir(parents=True)
            (out / "sub/ü with space").write_text(name * 10000)
            (out / "empty").write_text("")
        else:
            out.write_text(name)
        receipt = Receipt("stage", name, "accepted", **store.publish(out)._asdict())
    Records(store).add(recipe, receipt, {"node": "a"})
    return bundle.BundledResult(receipt, recipe.digest)


@pytest.fixture
def contents(store):
    rejected = bundle.BundledResult(Receipt("stage", "r", "rejected", "unreadable"), None)
    return bundle.Contents([make(store, "one", True), make(store, "two", False), rejected], {"ab" * 32: 7})


def test_an_imported_bundle_has_its_records_and_exports_to_the_same_bytes(store, contents, tmp_path):
    bundle.write_bundle(store, contents, tmp_path / "a.tar")
    other = Store(tmp_path / "other")
    assert bundle.read_bundle(other, tmp_path / "a.tar") == (3, 2, 0)
    for item in contents.items[:2]:
        assert Records(other).look_up(item.recipe_digest) == item.receipt
        assert other.damage(item.receipt.digest) is None
    assert list(Records(other).all()) == list(Records(store).all())
    bundle.write_bundle(other, contents, tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_importing_changes_nothing_that_is_there(store, contents, tmp_path):
    bundle.write_bundle(store, contents, tmp_path / "a.tar")
    before = {path: path.stat().st_mtime_ns for path in store.path.rglob("*") if path.is_file()}
    assert bundle.read_bundle(store, tmp_path / "a.tar") == (3, 0, 2)
    after = {path: path.stat().st_mtime_ns for path in store.path.rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before
    assert Records(store).repeats() == []


def test_a_damaged_bundle_is_refused_and_nothing_is_imported(store, contents, tmp_path):
    size = bundle.write_bundle(store, contents, tmp_path / "a.tar")
    good = (tmp_path / "a.tar").read_bytes()
    needles = [b"oneone", b"two", b'"stage"', b'"settings"', b"sub/"]
    cases = [good[: size // 2], good[:700]]
    for needle in needles:
        place = good.index(needle)
        cases.append(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
    for number, case in enumerate(cases):
        (tmp_path / "bad.tar").write_bytes(case)
        other = Store(tmp_path / f"other{number}")
        with pytest.raises(NephroscaleError):
            bundle.read_bundle(other, tmp_path / "bad.tar")
        assert not list(other.path.glob("objects/*/*")), number
        assert not list(other.path.glob("records/*/*"))
        assert not list(other.path.glob("tmp/*"))


def test_a_file_that_is_no_bundle_is_refused(store, tmp_path):
    (tmp_path / "x").write_text("no bundle")
    for name in ("x", "absent"):
        with pytest.raises(NephroscaleError):
            bundle.read_bundle(store, tmp_path / name)


def test_a_damaged_object_is_not_exported(store, contents, tmp_path):
    file = store.object_path(contents.items[1].receipt.digest)
    file.chmod(0o600)
    file.write_text("owt!")
    with pytest.raises(NephroscaleError, match="missing or damaged"):
        bundle.write_bundle(store, contents, tmp_path / "a.tar")
    assert not list(tmp_path.glob("*.tar*"))


def test_only_a_bundle_is_overwritten(store, contents, tmp_path):
    receipt = tmp_path / "P02.json"
    receipt.write_text("{}")
    for there in (receipt, tmp_path):
        with pytest.raises(NephroscaleError, match="Another kind of file"):
            bundle.write_bundle(store, contents, there)
    assert receipt.read_text() == "{}"
    with pytest.raises(NephroscaleError, match="does not exist"):
        bundle.write_bundle(store, contents, tmp_path / "nowhere/a.tar")
    size = bundle.write_bundle(store, contents, tmp_path / "a.tar")
    assert bundle.write_bundle(store, contents, tmp_path / "a.tar") == size
    with pytest.raises(NephroscaleError, match="does not exist"):
        bundle.read_bundle(store, tmp_path)


def test_a_flipped_byte_is_found_at_export_whatever_the_file_time(store, contents, tmp_path):
    path = store.object_path(contents.items[1].receipt.digest)
    state = path.stat()
    path.chmod(0o600)
    path.write_bytes(b"twO")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(NephroscaleError, match="missing or damaged"):
        bundle.write_bundle(store, contents, tmp_path / "a.tar")
    assert sorted(tmp_path.iterdir()) == [store.path]


def test_a_damaged_manifest_of_an_intact_object_is_rebuilt(store, contents, tmp_path):
    digest = contents.items[0].receipt.digest
    manifest = store.manifest_path(digest)
    content = json.loads(manifest.read_text())
    content["files"][0][2] = "0" * 64
    manifest.chmod(0o600)
    manifest.write_text(json.dumps(content))
    bundle.write_bundle(store, contents, tmp_path / "a.tar")
    assert bundle.read_bundle(Store(tmp_path / "other"), tmp_path / "a.tar").new == 2
