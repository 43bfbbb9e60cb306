"""Missing modalities: the patients that a network can be applied to, and modality dropout in training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from nephroscale.models.batch import MODALITIES, Batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nephroscale.models.network import Network
    from nephroscale.training.data import Bag


def choose_cases(
    bags: Sequence[Bag], modalities: Sequence[str], network: Network
) -> tuple[list[Bag], dict[str, list[str]]]:
    """Select the patients that a network can be applied to.

    A network that supports missing modalities needs at least one of its modalities; any other network needs all of
    them. A patient whose markers were all found negative without a picture has IM for a network with learnt states for
    negative markers.

    Parameters
    ----------
    bags
        As :meth:`nephroscale.training.data.BagSource.open` returns them.
    modalities
        Modalities that the network reads.
    network
        The network.

    Returns
    -------
    cases
        Selected patients in their order, without negatives if the network does not read them.
    left_out
        Patient id to missing modalities, for all others.
    """
    cases, left_out = [], {}
    for bag in bags:
        kept = bag if network.reads_negatives else replace(bag, negative=())
        lacking = missing_modalities(kept, modalities)
        if lacking and (not network.supports_missing_modalities or len(lacking) == len(modalities)):
            left_out[bag.patient] = lacking
        else:
            cases.append(kept)
    return cases, left_out


def missing_modalities(bag: Bag, modalities: Sequence[str]) -> list[str]:
    """List the modalities that a patient lacks; negative markers count as IM."""
    return [name for name in modalities if name not in bag.modalities and not (name == "IM" and bag.negative)]


def leave_out_each(bags: Sequence[Bag], modalities: Sequence[str]) -> list[tuple[str, Bag]]:
    """For each patient with several modalities, leave out each one in turn: the modality left out, and the rest."""
    found = []
    for bag in bags:
        lacking = missing_modalities(bag, modalities)
        present = [name for name in modalities if name not in lacking]
        for name in present if len(present) > 1 else ():
            rest = {other: content for other, content in bag.modalities.items() if other != name}
            found.append((name, replace(bag, modalities=rest, negative=() if name == "IM" else bag.negative)))
    return found


def drop_modalities(batch: Batch, rate: float, generator: torch.Generator) -> Batch:
    """Mask whole modalities of patients at random, and keep at least one that each patient had.

    Parameters
    ----------
    batch
        On the host.
    rate
        Probability to drop each modality of a patient.
    generator
        On the host. The number of draws depends on the batch's shape alone.

    References
    ----------
    Neverova N et al. ModDrop: adaptive multi-modal gesture recognition. IEEE TPAMI 38, 2016.
    """
    names = [name for name in MODALITIES if name in batch.features]
    everybody = torch.ones(len(batch), dtype=torch.bool)
    had = torch.stack([everybody if (present := batch.present(n)) is None else present for n in names])
    draws = torch.rand((2, *had.shape), generator=generator)
    kept = had & (draws[0] >= rate)
    spared = torch.where(had, draws[1], -1.0).argmax(0)  # kept if all others are dropped
    kept |= (torch.arange(len(names))[:, None] == spared) & had & ~kept.any(0)
    by_name = dict(zip(names, kept, strict=True))
    masks = {name: batch.mask[name] & rows[:, None] for name, rows in by_name.items()}
    features = {name: batch.features[name] * rows[:, None, None, None, None] for name, rows in by_name.items()}
    return Batch.of(
        features,
        masks,
        batch.labels,
        batch.ids,
        batch.second,
        negative={
            name: batch.negative[name] & rows[:, None] for name, rows in by_name.items() if name in batch.negative
        },
        prior=batch.prior,
    )
