"""Patients who lack a modality: who is a case for which network, and networks that see absence while they train."""

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
    """Tell the patients that a network can be asked about from those that it cannot.

    A network that tolerates missing modalities takes whoever has one of its modalities; any other takes those who have
    all of them. A patient whose markers were all found negative without a picture has IM for a network that has learnt
    states for that.

    Parameters
    ----------
    bags
        As :func:`nephroscale.training.data.load_bags` gives them.
    modalities
        What the network reads.
    network
        Says what it tolerates and reads.

    Returns
    -------
    cases
        In their order, without negatives where the network does not read them.
    left_out
        Patient id to the modalities that the patient lacks, of those who are no case.
    """
    cases, left_out = [], {}
    for bag in bags:
        kept = bag if network.reads_negatives else replace(bag, negative=())
        lacking = [name for name in modalities if name not in kept.modalities and not (name == "IM" and kept.negative)]
        if lacking and (not network.supports_missing_modalities or len(lacking) == len(modalities)):
            left_out[bag.patient] = lacking
        else:
            cases.append(kept)
    return cases, left_out


def drop_modalities(batch: Batch, share: float, generator: torch.Generator) -> Batch:
    """Take whole modalities from patients at random, and leave everybody at least one that they had.

    Parameters
    ----------
    batch
        On the host.
    share
        Chance of each patient's modality to be taken.
    generator
        On the host. How much is drawn from it depends on the batch's shape alone.

    References
    ----------
    Neverova N et al. ModDrop: adaptive multi-modal gesture recognition. IEEE TPAMI 38, 2016.
    """
    names = [name for name in MODALITIES if name in batch.features]
    had = torch.stack(
        [torch.ones(len(batch), dtype=torch.bool) if (has := batch.has(n)) is None else has for n in names]
    )
    draws = torch.rand((2, *had.shape), generator=generator)
    kept = had & (draws[0] >= share)
    one = torch.where(had, draws[1], -1.0).argmax(0)  # if all went: the one that is left
    kept |= (torch.arange(len(names))[:, None] == one) & had & ~kept.any(0)
    masks = {name: batch.mask[name] & there[:, None] for name, there in zip(names, kept, strict=True)}
    features = {
        name: batch.features[name] * there[:, None, None, None, None] for name, there in zip(names, kept, strict=True)
    }
    negative = {n: batch.negative[n] & t[:, None] for n, t in zip(names, kept, strict=True) if n in batch.negative}
    return Batch.of(features, masks, batch.labels, batch.ids, batch.second, negative=negative)
