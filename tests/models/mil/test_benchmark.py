"""The benchmark on public data sets: reading them, and training all folds at once."""

import csv
import runpy
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from scipy.io import savemat
from torch.nn.functional import binary_cross_entropy_with_logits

from nephroscale.errors import NephroscaleError
from nephroscale.models.batch import Batch
from nephroscale.models.registry import build
from nephroscale.models.settings import ModelSettings
from support import mil_benchmark as mil
from support.mil_abmil import train_abmil

BITS = np.dtype([("chunks_", h5py.ref_dtype), ("len_", "<i8"), ("dims_", h5py.ref_dtype)])
OPTIONS = Namespace(epochs=3, learning_rate=0.01, weight_decay=5e-3, momentum=0.9, runs=1, seed=1)


def write(path: Path, bags: list[np.ndarray], labels: np.ndarray, folds: list[list[np.ndarray]]) -> Path:
    """Write the form of Julia's JLD: references to matrices stored by columns, and to BitArrays of 64-bit words."""
    with h5py.File(path, "w") as file:
        count = iter(range(1, 100_000))

        def put(value: Any, dtype: Any = None) -> h5py.Reference:
            return file.create_dataset(f"_refs/{next(count):08d}", data=value, dtype=dtype).ref

        def bits(values: np.ndarray) -> np.ndarray:
            whole = np.append(values, np.zeros(-len(values) % 64)).astype(np.uint8)
            words = np.packbits(whole, bitorder="little").view("<u8")
            return np.array((put(words), len(values), put(np.int64(len(values)))), BITS)

        file.create_dataset("X", data=[put(bag.T) for bag in bags], dtype=h5py.ref_dtype)
        file.create_dataset("y", data=bits(labels))
        runs = [put([put(bits(side)) for side in run], h5py.ref_dtype) for run in folds]
        file.create_dataset("folds", data=runs, dtype=h5py.ref_dtype)
    return path


def synthetic_bags() -> tuple[list[np.ndarray], np.ndarray, list[list[np.ndarray]]]:
    """70 bags (more than one word of bits), one run of three folds of unequal sizes."""
    generator = np.random.default_rng(0)
    labels = np.arange(70) % 2
    bags = [(generator.normal(size=(n, 5)) + labels[i]).astype(np.float32) for i, n in enumerate(labels * 3 + 1)]
    place = generator.permutation(70) % 3
    return bags, labels, [[place != fold for fold in range(3)]]


def test_a_written_file_is_read_back(tmp_path: Path) -> None:
    bags, labels, folds = synthetic_bags()
    data = mil.read_dataset(write(tmp_path / "MIDatasets_Tiger.jld", bags, labels, folds))
    assert all(np.array_equal(mine, its) for mine, its in zip(data.bags, bags, strict=True))
    assert data.labels.tolist() == labels.tolist()
    assert np.array_equal(data.folds, folds)
    assert mil.find_dataset(tmp_path, "tiger").name == "MIDatasets_Tiger.jld"


def spoil(kind: str, path: Path) -> None:
    bags, labels, folds = synthetic_bags()
    if kind == "label too few":
        labels = labels[:-1]
    elif kind == "one label":
        labels = np.ones_like(labels)
    elif kind == "other width":
        bags[3] = bags[3][:, :4]
    elif kind == "empty bag":
        bags[3] = bags[3][:0]
    elif kind == "not a number":
        bags[3][0, 0] = np.nan
    elif kind == "short fold":
        folds[0][1] = folds[0][1][:-1]
    elif kind == "overlapping folds":
        folds[0][1] = folds[0][0]
    elif kind == "no folds":
        folds = []
    write(path, bags, labels, folds)
    with h5py.File(path, "r+") as file:
        if kind == "no labels":
            del file["y"]
        elif kind == "bags by value":
            del file["X"]
            file["X"] = np.zeros((70, 5))
        elif kind == "labels of 2":
            del file["y"]
            file["y"] = np.arange(70)
    content = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "text":
        path.write_text("MUSK-188,188_1+1,42,-198\n")
    elif kind == "nothing":
        path.write_bytes(b"")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("label too few", "70 bags and 69 labels"),
        ("one label", "all bags have one label"),
        ("other width", r"bag 4 is \(4, 4\)"),
        ("empty bag", r"bag 4 is \(0, 5\)"),
        ("not a number", "bag 4 has a value that is not finite"),
        ("short fold", "a fold of run 1 is not about 70 bags"),
        ("overlapping folds", "run 1 do not test every bag once"),
        ("no folds", "there are no folds"),
        ("no labels", "y"),
        ("bags by value", "X is no array of references"),
        ("labels of 2", "have to be 0 or 1"),
        ("truncated", ""),
        ("text", ""),
        ("nothing", ""),
    ],
)
def test_a_malformed_file_gets_one_clear_message(tmp_path: Path, kind: str, message: str) -> None:
    path = tmp_path / "MIDatasets_Fox.jld"
    spoil(kind, path)
    with pytest.raises(NephroscaleError, match=f"not a MIL data set with its folds: .*{message}") as error:
        mil.read_dataset(path)
    assert "MIDatasets_Fox.jld" in str(error.value)


@pytest.mark.parametrize("labels_of", ["bags", "instances"])
def test_a_mat_file_gets_stratified_folds_of_its_own(tmp_path: Path, labels_of: str) -> None:
    bags, labels, _ = synthetic_bags()
    whose = np.repeat(np.arange(70), [len(bag) for bag in bags])
    marks = labels if labels_of == "bags" else labels[whose]
    path = tmp_path / "musk_2.mat"
    savemat(path, {"X": np.concatenate(bags), "BagI": whose[:, None] + 1, "Bag2": marks[:, None]})
    data = mil.read_dataset(mil.find_dataset(tmp_path, "musk2"))
    assert all(np.array_equal(mine, its) for mine, its in zip(data.bags, bags, strict=True))
    assert data.labels.tolist() == labels.tolist()
    assert not data.published
    for run in data.folds:
        assert np.sum([~side for side in run], axis=0).tolist() == [1] * 70
        assert {int(labels[~side].sum()) for side in run} <= {3, 4}
    assert not np.array_equal(data.folds[0], data.folds[1])


@pytest.mark.parametrize("content", [{"X": np.zeros((3, 2))}, {"X": np.zeros((3, 2)), "BagI": [1, 2], "Bag2": [0, 1]}])
def test_a_malformed_mat_file_gets_one_clear_message(tmp_path: Path, content: dict[str, Any]) -> None:
    savemat(tmp_path / "musk2.mat", content)
    with pytest.raises(NephroscaleError, match="not a MIL data set: "):
        mil.read_dataset(tmp_path / "musk2.mat")
    (tmp_path / "musk2.mat").write_text("no file of MATLAB, but a text that is long enough to have a header" * 9)
    with pytest.raises(NephroscaleError, match="not a MIL data set: "):
        mil.read_dataset(tmp_path / "musk2.mat")


@pytest.mark.slow
def test_the_command_fails_with_a_message(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "MIDatasets_Musk1.jld").write_text("not HDF5")
    monkeypatch.setattr(sys, "argv", ["mil.py", "--dataset", "musk1", "--threads", "1", str(tmp_path)])
    mode = torch.get_deterministic_debug_mode()
    try:
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(root / "benchmarks/mil.py"), run_name="__main__")
    finally:
        torch.set_deterministic_debug_mode(mode)
    assert "not a MIL data set" in str(end.value.code)
    with pytest.raises(NephroscaleError, match="no file of the data set fox"):
        mil.find_dataset(tmp_path, "fox")


@pytest.mark.parametrize("name", ["Musk1", "Elephant"])
def test_the_published_files_are_read(shared: Path, name: str) -> None:
    data = mil.read_dataset(mil.find_dataset(shared / "data" / "mil", name.casefold()))
    bags, positive, instances, features = {"Musk1": (92, 47, 476, 166), "Elephant": (200, 100, 1391, 230)}[name]
    assert (len(data.bags), int(data.labels.sum())) == (bags, positive)
    assert (sum(map(len, data.bags)), data.bags[0].shape[1]) == (instances, features)
    assert [len(run) for run in data.folds] == [10] * 5
    assert {int(side.sum()) for run in data.folds for side in run} == {"Musk1": {82, 83}, "Elephant": {180}}[name]


def test_musk1_equals_the_uci_data_set(shared: Path) -> None:
    with (shared / "data/mil/uci_clean1.data").open() as stream:
        rows = [row for row in csv.reader(stream) if row]
    theirs: dict[str, list[list[str]]] = {}
    for row in rows:
        theirs.setdefault(row[0], []).append(row)
    known = {
        (int(float(bag[0][-1].rstrip("."))), tuple(sorted(tuple(map(float, row[2:-1])) for row in bag)))
        for bag in theirs.values()
    }
    data = mil.read_dataset(mil.find_dataset(shared / "data/mil", "musk1"))
    ours = {(int(y), tuple(sorted(map(tuple, bag.tolist())))) for bag, y in zip(data.bags, data.labels, strict=True)}
    assert ours == known


@pytest.mark.slow
@pytest.mark.parametrize("name", ["abmil-gated", "clam-sb", "transmil", "dsmil", "max-pooling", "sc-mil"])
def test_folds_trained_together_equal_folds_trained_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nephroscale.models.mil.transmil.DROPOUT", 0.0)
    data = mil.Dataset(*synthetic_bags())
    settings = mil.settings_of({**mil.NETWORKS[name], "embedding": [8], "embedding_dropout": 0.0})
    sides, seeds = data.folds[0][:2], [5, 6]
    together = mil.train_folds(settings, data, sides, seeds, OPTIONS)
    for side, seed, logits in zip(sides, seeds, together, strict=True):
        assert int((~side).sum()) == len(logits)
        length = max(int(side.sum()) for side in sides)
        torch.testing.assert_close(
            plainly(settings, data, side, (seed, seeds[0]), length=length), logits, rtol=1e-3, atol=1e-3
        )


def plainly(
    settings: ModelSettings, data: Any, side: np.ndarray, seeds: tuple[int, int], *, length: int
) -> torch.Tensor:
    """The same protocol for one fold, bag by bag, with the seeds of its weights and of all folds' order of bags."""
    seen = np.concatenate([bag for bag, learnt in zip(data.bags, side, strict=True) if learnt])
    bags = [torch.from_numpy((bag - seen.mean(0)) / seen.std(0)) for bag in data.bags]

    def batch(chosen: list[int]) -> Batch:
        longest = max(len(bags[i]) for i in chosen)
        padded = torch.zeros(len(chosen), longest, 5)
        mask = torch.zeros(len(chosen), longest, dtype=torch.bool)
        for row, i in enumerate(chosen):
            padded[row, : len(bags[i])], mask[row, : len(bags[i])] = bags[i], True
        return Batch.of({"TEM": padded[:, :, None, None]}, {"TEM": mask}, torch.from_numpy(data.labels)[chosen])

    torch.manual_seed(seeds[0])
    unit = mil.outputs_of(settings) == 1
    network = build(settings, {"TEM": (1, 1, 5)}, mil.outputs_of(settings))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-3)
    generator = torch.Generator().manual_seed(seeds[1])
    size = mil.BAGS_A_STEP.get(settings.family, 1)
    for epoch in range(OPTIONS.epochs):
        network.train()
        network.progress = epoch / OPTIONS.epochs
        order = torch.randperm(len(data.bags), generator=generator).numpy()
        order = order[side[order]] if size == 1 else np.resize(order[side[order]], length)
        for first in range(0, len(order), size):
            given = batch(order[first : first + size].tolist())
            optimizer.zero_grad()
            output = network(given)
            if unit:
                logits = output.logits["fusion"][:, 0]
                binary_cross_entropy_with_logits(logits, given.labels.float(), reduction="sum").backward()
            else:
                network.loss(output, given.labels).backward()
            optimizer.step()
    with torch.no_grad():
        found = network.eval()(batch(np.flatnonzero(~side).tolist())).logits["fusion"]
        return torch.cat([torch.zeros_like(found), found], 1) if unit else found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["abmil", "abmil-gated"])
def test_written_out_gradients_of_abmil_equal_autograd(name: str) -> None:
    data = mil.Dataset(*synthetic_bags())
    settings = mil.settings_of({**mil.NETWORKS[name], "embedding": [8, 6], "embedding_dropout": 0.0})
    arguments = (settings, data, data.folds[0][:1], [5], OPTIONS)
    found, expected = (train(*arguments)[0].diff(dim=1) for train in (train_abmil, mil.train_folds))
    assert torch.allclose(found, expected, atol=1e-4)


def test_abmil_with_dropout_learns_what_is_easy() -> None:
    data = mil.Dataset(*synthetic_bags())
    settings = mil.settings_of({**mil.NETWORKS["abmil"], "embedding": [64], "embedding_dropout": 0.5})
    for logits, side in zip(train_abmil(settings, data, data.folds[0], [5, 6, 7], OPTIONS), data.folds[0], strict=True):
        assert (logits.argmax(1).numpy() == data.labels[~side]).mean() > 0.8
