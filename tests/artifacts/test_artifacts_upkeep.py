import os
import time

import pytest

from nephroscale.artifacts import upkeep
from nephroscale.artifacts.receipts import Receipt, settle_receipt
from nephroscale.artifacts.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def publish(store, text, age=0.0):
    with store.scratch() as scratch:
        (scratch / "out").write_text(text)
        published = store.publish(scratch / "out")
    os.utime(store.manifest_path(published.digest), (time.time() - age,) * 2)
    return published


def test_only_what_nothing_names_is_collected(store, tmp_path):
    old = 10 * 86400.0
    named, young, pinned, free = (publish(store, t, a) for t, a in [("n", old), ("y", 0), ("p", old), ("f", old)])
    results = tmp_path / "results"
    settle_receipt(results / "u.json", results / "u", Receipt("s", "u", "accepted", **named._asdict()), store)
    upkeep.register_results(store, results)
    with upkeep.pinned(store, [pinned.digest]):
        assert upkeep.collect(store) == [(free.digest, 1)]
        assert store.find(free.digest)
        upkeep.collect(store, delete=True)
    assert store.find(free.digest) is None
    assert all(store.find(p.digest) for p in (named, young, pinned))
    assert upkeep.collect(store) == [(pinned.digest, 1)]
