"""Steps recorded as CUDA graphs: all kernels of a step are launched at once, not one after another by Python.

References
----------
PyTorch, CUDA semantics, section CUDA graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from nephroscale.models.batch import Batch

MOST_RECORDINGS = 24
"""Recordings of one function. Batches of further layouts run without a recording, which is slower."""


@dataclass(frozen=True)
class _Recording:
    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    results: tuple[Tensor, ...]


class Recorded:
    """A function of a batch, recorded once for each layout of batches (number of patients, slots and images).

    Parameters
    ----------
    function
        From a batch on a GPU to tensors. It must not wait for values of the device, nor read what Python changes.
    state
        Lists the tensors that the function changes. To record it, it is run twice, and they are set back, as is the
        generator of random numbers; tensors that come into being then (such as the optimizer's) start at zero.
    encodes
        Whether the function encodes images. If not, batches of different numbers of images in the same slots share a
        recording, and the function is given a batch without `rows`.
    """

    def __init__(
        self,
        function: Callable[[Batch], tuple[Tensor, ...]],
        state: Callable[[], Sequence[Tensor]] = lambda: (),
        *,
        encodes: bool = True,
    ) -> None:
        self.function, self.state, self.encodes = function, state, encodes
        self._recordings: dict[tuple[object, ...], _Recording] = {}
        self._pool: Any = None

    def __call__(self, batch: Batch) -> tuple[Tensor, ...]:
        """Run the function on a batch; the results belong to the caller."""
        if not self.encodes:
            batch = replace(batch, rows={})
        names = (*batch.features, batch.second is None, batch.prior is None, *batch.negative, "lacking", *batch.lacking)
        layout = (*names, *(tensor.shape for tensor in _tensors(batch)))
        if layout not in self._recordings:
            if len(self._recordings) == MOST_RECORDINGS:
                return self.function(batch)
            self._recordings[layout] = self._record(batch)
        recording = self._recordings[layout]
        for given, read in zip(_tensors(batch), recording.inputs, strict=True):
            read.copy_(given)
        recording.graph.replay()
        return tuple(result.clone() for result in recording.results)

    def _record(self, batch: Batch) -> _Recording:
        batch = batch.map(torch.clone)
        # detached, because a graph of gradients that lives on would tie the recording to this stream
        before = {id(tensor): tensor.detach().clone() for tensor in self.state()}
        random = torch.cuda.get_rng_state()
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            self.function(batch)  # loads kernels and allocates work spaces, which cannot be recorded
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            results = self.function(batch)
        self._pool = graph.pool()
        with torch.no_grad():
            for tensor in self.state():
                tensor.copy_(before[id(tensor)]) if id(tensor) in before else tensor.zero_()
        torch.cuda.set_rng_state(random)
        return _Recording(graph, _tensors(batch), results)


def pad_images(batch: Batch, whole: Batch) -> Batch:
    """Encode some padding, too, so that few layouts of batches occur.

    The number of images of a modality is rounded up to a multiple of the number of patients. Images of dropped
    modalities are encoded as well: a step with a recording takes much less time than one without.

    Parameters
    ----------
    batch
        On the host. Its masks stay, so that nothing reads the maps of padding.
    whole
        The same batch before modalities were dropped.
    """
    rows = {name: _padded(indices, whole.mask[name]) for name, indices in whole.rows.items()}
    return replace(batch, rows=rows, lacking=batch.lacking if batch is whole else tuple(batch.mask))


def _padded(rows: Tensor, mask: Tensor) -> Tensor:
    extra = -len(rows) % len(mask)
    return torch.cat([rows, (~mask).flatten().nonzero().flatten()[:extra]])


def _tensors(batch: Batch) -> list[Tensor]:
    tensors: list[Tensor] = []

    def listed(tensor: Tensor) -> Tensor:
        tensors.append(tensor)
        return tensor

    batch.map(listed)
    return tensors
