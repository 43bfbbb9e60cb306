"""Usefulness of predictions for decisions: accuracy of the most confident ones, and net benefit of an action.

References
----------
El-Yaniv R, Wiener Y. On the foundations of noise-free selective classification. JMLR 11, 2010. Vickers AJ, Elkin EB.
Decision curve analysis: a novel method for evaluating prediction models. Medical Decision Making 26, 2006.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from nephroscale.evaluation.networks import MeanOverNetworks, Networks, Samples, summarise


def estimate_confident(networks: Networks, coverage: float) -> MeanOverNetworks:
    """Estimate the accuracy of the most confident predictions of each network.

    Parameters
    ----------
    networks
        The predictions. The confidence is the largest probability.
    coverage
        Share of cases to keep, in (0, 1]. Cases as confident as the last one are kept, too.
    """
    confidence = networks.probabilities.max(axis=2)
    keep = int(np.ceil(coverage * len(networks.labels) - 1e-9))
    limits = np.sort(confidence, axis=1)[:, -keep]
    kept = confidence >= limits[:, None]
    right, every = (_by_person(networks, each) for each in (kept & (networks.predicted == networks.labels), kept))
    with np.errstate(invalid="ignore"):
        samples = Samples(
            right.sum(axis=1) / every.sum(axis=1),
            (right.sum(axis=1, keepdims=True) - right) / (every.sum(axis=1, keepdims=True) - every),
        )
    return summarise(networks, samples, coverage * networks.effective_persons()[0])


def estimate_net_benefit(
    networks: Networks, positive: Collection[int], threshold: float, shares: Sequence[float]
) -> MeanOverNetworks:
    """Estimate the net benefit of an action that is taken from a probability on.

    With R_j, the share of class j in which the action is taken, and prevalence w_j, the net benefit is the sum of w_j
    R_j over the classes in which the action is right, minus t / (1 - t) times the sum of w_j R_j over all others.

    Parameters
    ----------
    networks
        The predictions.
    positive
        Indices of the classes in which the action is right.
    threshold
        Probability t of these classes together, in (0, 1).
    shares
        [K] prevalence of each class; those of the cohort for its own net benefit.

    Returns
    -------
    MeanOverNetworks
        In units of one right action for each patient.
    """
    weights = signed_shares(positive, threshold, shares)
    inside = np.isin(np.arange(networks.classes), list(positive))
    # Sums of probabilities such as 0.1 + 0.2 may be below a threshold that they are equal to.
    taken = networks.probabilities[:, :, inside].sum(axis=2) >= threshold - 1e-9
    own = networks.labels == np.arange(networks.classes)[:, None]
    acted = np.stack([_by_person(networks, taken & each) for each in own], axis=-1)
    cases = np.stack([_by_person(networks, np.broadcast_to(each, taken.shape)) for each in own], axis=-1)
    with np.errstate(invalid="ignore"):
        rates = acted.sum(axis=1) / cases.sum(axis=1)
        left_out = (acted.sum(axis=1, keepdims=True) - acted) / (cases.sum(axis=1, keepdims=True) - cases)
    limits = (float(weights[weights < 0].sum()), float(weights[weights > 0].sum()))
    return summarise(networks, Samples(rates @ weights, left_out @ weights), networks.effective_persons()[0], limits)


def signed_shares(positive: Collection[int], threshold: float, shares: Sequence[float]) -> np.ndarray:
    """Weigh the prevalence of each class by what the action is worth there; the sum is the value of always acting."""
    inside = np.isin(np.arange(len(shares)), list(positive))
    return np.asarray(np.where(inside, 1.0, -threshold / (1 - threshold)) * np.asarray(shares))


def _by_person(networks: Networks, chosen: np.ndarray) -> np.ndarray:
    """Count the chosen cases [S, n] of each person: [S, P]."""
    persons = len(networks.strata)
    return np.stack([np.bincount(networks.people, weights=row, minlength=persons) for row in chosen])
