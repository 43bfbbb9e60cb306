"""Recorded steps, on a CPU by a stand-in for CUDA graphs that runs the function again."""

from __future__ import annotations

import math
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import torch

from nephroscale.models.batch import Batch
from nephroscale.models.cmusnet import CMUSNet, Config
from nephroscale.models.registry import FAMILIES
from nephroscale.training import recorded
from nephroscale.training.epoch import SLOTS, training_step
from nephroscale.training.missing import drop_modalities
from nephroscale.training.optimizer import make_optimizer
from nephroscale.training.precision import has_encoder
from nephroscale.training.recorded import Recorded, pad_images
from nephroscale.training.settings import TrainSettings
from support.networks import build_network

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stream:
    def wait_stream(self, other: Stream) -> None:
        pass


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Replace CUDA graphs; lists those that were recorded."""
    made: list[Any] = []

    class Graph:
        def __init__(self) -> None:
            made.append(self)

        def replay(self) -> None:
            again = self.owner.function(self.batch)
            for old, new in zip(self.results, again, strict=True):
                old.copy_(new)

        def pool(self) -> tuple[int, int]:
            return (0, 1)

    @contextmanager
    def graph(made_now: Graph, **_: object) -> Iterator[None]:
        yield

    cuda = torch.cuda
    monkeypatch.setattr(cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(cuda, "graph", graph)
    monkeypatch.setattr(cuda, "Stream", Stream)
    monkeypatch.setattr(cuda, "current_stream", Stream)
    monkeypatch.setattr(cuda, "stream", lambda _stream: nullcontext())
    monkeypatch.setattr(cuda, "get_rng_state", torch.get_rng_state)
    monkeypatch.setattr(cuda, "set_rng_state", torch.set_rng_state)
    record = Recorded._record

    def recording(self: Recorded, batch: Batch) -> Any:
        batch = batch.map(torch.clone)
        made_by = record(self, batch)
        graph = made_by.graph
        # what the graph reads is the clone that `_record` made; the function has to read the same tensors
        graph.owner, graph.results = self, made_by.results
        tensors = iter(made_by.inputs)
        graph.batch = batch.map(lambda _old: next(tensors))
        return made_by

    monkeypatch.setattr(Recorded, "_record", recording)
    return made


def patients(count: int, images: int, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"TEM": (count, 4), "OM": (count, 1), "IM": (count, 1)}
    features = {name: torch.rand((*shape, 2, 2, 8), generator=generator) for name, shape in shapes.items()}
    mask = {name: torch.ones(shape, dtype=torch.bool) for name, shape in shapes.items()}
    mask["TEM"] = torch.arange(4).expand(count, 4) < images
    features["TEM"] = features["TEM"] * mask["TEM"][:, :, None, None, None]
    return Batch.of(features, mask, torch.arange(count) % 3)


def network() -> tuple[CMUSNet, torch.optim.Optimizer]:
    torch.manual_seed(0)
    made = CMUSNet(dict.fromkeys(("TEM", "OM", "IM"), (2, 2, 8)), 3, Config(hidden=8, dropout=0.5))
    return made, make_optimizer(made, TrainSettings(learning_rate=0.01))


def test_recorded_training_gives_the_weights_of_plain_training(graphs: list[Any]) -> None:
    settings, given = TrainSettings(), [patients(3, 4, 1), patients(3, 2, 2), patients(2, 4, 3), patients(3, 4, 4)]
    weights = []
    for record in (False, True):
        net, optimizer = network()
        step: Any = partial(training_step, net, optimizer, settings)
        if record:

            def state(net: CMUSNet = net, optimizer: torch.optim.Optimizer = optimizer) -> list[torch.Tensor]:
                return [*net.parameters(), *(t for each in optimizer.state.values() for t in each.values())]

            step = Recorded(step, state)
        torch.manual_seed(5)  # of the dropout
        losses = [float(step(batch)[0]) for batch in given]
        weights.append((losses, [p.detach().clone() for p in net.parameters()]))
    assert weights[0][0] == weights[1][0]
    assert all(torch.equal(a, b) for a, b in zip(weights[0][1], weights[1][1], strict=True))
    assert len(graphs) == 3  # numbers of images 12 and 6, and of patients 2


def test_maps_of_frozen_features_need_no_recording_for_each_number_of_images(graphs: list[Any]) -> None:
    given = [patients(3, 4, 1), patients(3, 2, 2), patients(2, 4, 3), patients(3, 3, 4)]
    net, _ = network()
    net.eval()
    step = Recorded(lambda batch: (net(batch).logits["fusion"],), encodes=False)
    with torch.no_grad():
        for batch in given:
            assert torch.equal(step(pad_images(batch, batch))[0], net(batch).logits["fusion"])
    assert len(graphs) == 2  # numbers of patients


@pytest.mark.parametrize("family", FAMILIES)
def test_only_networks_with_an_encoder_read_the_rows_of_images(family: str) -> None:
    batch = patients(3, 2)
    names = ("TEM",) if ".mil." in FAMILIES[family] else ("TEM", "OM", "IM")
    plain = build_network(dict.fromkeys(names, (2, 2, 8)), family=family, modalities=names)
    assert not has_encoder(plain)
    plain(replace(batch, rows={}))
    shapes: dict[str, Any] = dict.fromkeys(names, (32, 32, 3))
    encoder = {"name": "small-cnn", "width": 8}
    assert has_encoder(build_network(shapes, family=family, modalities=names, encoder=encoder))


def test_no_more_than_so_many_layouts_are_recorded(graphs: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "MOST_RECORDINGS", 1)
    double = Recorded(lambda batch: (batch.labels * 2,))
    assert [int(double(patients(n, 4))[0].sum()) for n in (2, 3, 2)] == [2, 6, 2]
    assert len(graphs) == 1


@pytest.mark.parametrize(("real", "padded"), [(1, 10), (10, 10), (15, 20), (59, 60), (99, 100)])
def test_numbers_of_images_are_rounded_up(real: int, padded: int) -> None:
    mask = (torch.arange(100) < real).reshape(10, 10)
    batch = Batch.of({"TEM": torch.zeros(10, 10, 1, 1, 1)}, {"TEM": mask}, torch.zeros(10, dtype=torch.int64))
    rows = pad_images(batch, batch).rows["TEM"]
    assert len(rows) == padded == len(set(rows.tolist()))
    assert rows[:real].tolist() == list(range(real))


def test_encoded_padding_changes_no_prediction() -> None:
    net, _ = network()
    batch = patients(3, 3)
    net.eval()
    with torch.no_grad():
        plain, padded = net(batch).logits["fusion"], net(pad_images(batch, batch)).logits["fusion"]
    assert torch.equal(plain, padded)


@pytest.mark.parametrize("rate", [0.0, 0.2])
def test_few_layouts_of_batches_occur(graphs: list[Any], rate: float) -> None:
    generator = torch.Generator().manual_seed(0)
    double = Recorded(lambda batch: (batch.labels * 2,))
    for _ in range(400):
        counts = {"TEM": torch.randint(1, 11, (8,), generator=generator), "OM": torch.ones(8)}
        counts["IM"] = torch.randint(1, 4, (8,), generator=generator)
        slots = {"TEM": SLOTS * math.ceil(counts["TEM"].max() / SLOTS), "OM": 1, "IM": 3}
        mask = {name: torch.arange(slots[name]) < count[:, None] for name, count in counts.items()}
        features = {name: torch.zeros(*each.shape, 1, 1, 1) for name, each in mask.items()}
        whole = Batch.of(features, mask, torch.zeros(8, dtype=torch.int64))
        double(pad_images(drop_modalities(whole, rate, generator) if rate else whole, whole))
    assert len(graphs) < recorded.MOST_RECORDINGS


def test_dropped_images_change_no_prediction() -> None:
    net, _ = network()
    whole = patients(3, 3)
    dropped = drop_modalities(whole, 0.5, torch.Generator().manual_seed(1))
    assert dropped.lacking
    net.eval()
    with torch.no_grad():
        plain, padded = net(dropped).logits["fusion"], net(pad_images(dropped, whole)).logits["fusion"]
    assert torch.equal(plain, padded)


def test_padding_stays_within_the_slots() -> None:
    batch = patients(5, 4)
    batch.mask["TEM"][0, 3] = False
    batch = Batch.of(batch.features, batch.mask, batch.labels)
    padded = pad_images(batch, batch)
    assert sorted(padded.rows["TEM"].tolist()) == list(range(20))
