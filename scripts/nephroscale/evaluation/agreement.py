"""Agreement of two raters, one of whom may be a network: Cohen's weighted kappa with its interval.

References
----------
Cohen J. Weighted kappa: nominal scale agreement with provision for scaled disagreement or partial credit. Psychological
Bulletin 70, 1968.
"""

from __future__ import annotations

import numpy as np

from nephroscale.evaluation.networks import MeanOverNetworks, Networks, Samples, summarise, weighted_kappa


def disagreement_weights(classes: int, *, ordered: bool) -> np.ndarray:
    """Weigh each pair of classes [K, K]: their squared distance if the classes are ordered, 1 otherwise."""
    places = np.arange(classes)
    off = np.abs(places[:, None] - places[None, :])
    return np.asarray(off**2 if ordered else off > 0, np.float64)


def estimate_kappa(raters: Networks, weights: np.ndarray) -> MeanOverNetworks:
    """Estimate the kappa between one rater, the labels, and the other, the predicted classes.

    Parameters
    ----------
    raters
        Cases that both rated.
    weights
        [K, K] weight of each disagreement, 0 on the diagonal.
    """
    each = raters.person_confusions()
    total = each.sum(axis=1)
    samples = Samples(weighted_kappa(total, weights), weighted_kappa(total[:, None] - each, weights))
    one, other = (total.sum(axis=(0, axis)) / total.sum() for axis in (2, 1))
    # As kappa is 1 - D / E with D up to the largest weight, E of the persons count (see networks.equal_sizes).
    equal = raters.effective_persons()[0] * 2 * float(np.outer(one, other).ravel() @ weights.ravel()) / weights.max()
    return summarise(raters, samples, max(equal, 1.0), (-1.0, 1.0))
