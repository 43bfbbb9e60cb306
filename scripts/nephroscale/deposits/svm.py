"""A support vector machine on pooled features: chosen, calibrated and stored without pickle.

References
----------
Cortes C, Vapnik V. Support-vector networks. Machine Learning 1995. Platt J. Probabilistic outputs for support vector
machines. Advances in Large Margin Classifiers, 1999.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from nephroscale.errors import Rejected

KERNELS = ("linear", "rbf")
COSTS = (0.001, 0.01, 0.1, 1.0, 10.0)
INNER_FOLDS = 3
LEAST_SLOPE = 1e-3  # of the sigmoid of decision values: higher ones never mean lower probabilities
FILE, PARAMETERS = "svm.safetensors", "svm.json"


@dataclass(frozen=True)
class Parameters:
    """What was chosen for an SVM.

    Attributes
    ----------
    kernel, cost, gamma
        Of the SVM; gamma of the kernel exp(-gamma |a - b|²).
    intercept
        Of the decision value.
    slope, offset
        Of the probability: 1 / (1 + exp(-(slope * decision value + offset))).
    inner_log_loss
        Mean log loss on the inner folds, in nats.
    """

    kernel: str
    cost: float
    gamma: float
    intercept: float
    slope: float
    offset: float
    inner_log_loss: float


@dataclass(frozen=True)
class Svm:
    """A trained SVM.

    Attributes
    ----------
    parameters
        Kernel, cost and calibration.
    mean, sd
        [d] of the features on the training side; they are standardised by these.
    vectors
        [m, d] support vectors, standardised.
    weights
        [m], their weights.
    """

    parameters: Parameters
    mean: np.ndarray
    sd: np.ndarray
    vectors: np.ndarray
    weights: np.ndarray

    def decision_values(self, features: np.ndarray) -> np.ndarray:
        """Give the signed distance [n] from the boundary of features [n, d]; positive means deposits."""
        scaled = (features.astype(np.float64) - self.mean) / self.sd
        kernel = scaled @ self.vectors.T
        if self.parameters.kernel == "rbf":
            squared = (scaled**2).sum(1)[:, None] + (self.vectors**2).sum(1) - 2 * kernel
            kernel = np.exp(-self.parameters.gamma * np.maximum(squared, 0))
        values: np.ndarray = kernel @ self.weights + self.parameters.intercept
        return values

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Give the calibrated probability [n] of deposits."""
        return _sigmoid(self.parameters.slope * self.decision_values(features) + self.parameters.offset)

    def save(self, folder: Path) -> None:
        """Write arrays as safetensors and parameters as JSON."""
        from safetensors.numpy import save_file

        arrays = {"mean": self.mean, "sd": self.sd, "vectors": self.vectors, "weights": self.weights}
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / FILE)
        (folder / PARAMETERS).write_text(
            json.dumps(asdict(self.parameters), indent=1, sort_keys=True) + "\n", encoding="utf-8"
        )


def load_svm(folder: Path) -> Svm:
    """Read an SVM from its files; its decision values are those of the saved one, to the bit."""
    from safetensors.numpy import load_file

    return Svm(Parameters(**json.loads((folder / PARAMETERS).read_text(encoding="utf-8"))), **load_file(folder / FILE))


def fit_svm(features: np.ndarray, labels: np.ndarray, persons: Sequence[str], seed: int) -> Svm:
    """Fit an SVM; kernel and cost have the lowest log loss on inner folds of persons, on which it is calibrated, too.

    Parameters
    ----------
    features
        [n, d] float.
    labels
        [n] bool.
    persons
        Person of each image; a person is on one side of each inner fold.
    seed
        Of the inner folds.

    Raises
    ------
    Rejected
        When fewer than two persons have, or have not, images with deposits.
    """
    mean, sd = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    sd[sd < 1e-12] = 1.0
    scaled = (features.astype(np.float64) - mean) / sd
    divisions = list(inner_folds(scaled, labels, persons, seed))
    best: Parameters | None = None
    for kernel in KERNELS:
        for cost in COSTS:
            values = np.full(len(labels), np.nan)
            for training, held_out in divisions:
                machine = _machine(kernel, cost, scaled.shape[1]).fit(scaled[training], labels[training])
                values[held_out] = machine.decision_function(scaled[held_out])
            scored = np.isfinite(values)
            slope, offset = _calibrate(values[scored], labels[scored])
            loss = log_loss(labels[scored], _sigmoid(slope * values[scored] + offset))
            if best is None or loss < best.inner_log_loss - 1e-9:
                best = Parameters(kernel, cost, 1 / scaled.shape[1], 0.0, slope, offset, loss)
    assert best is not None
    machine = _machine(best.kernel, best.cost, scaled.shape[1]).fit(scaled, labels)
    return Svm(
        Parameters(**{**asdict(best), "intercept": float(machine.intercept_[0])}),
        mean,
        sd,
        machine.support_vectors_.copy(),
        machine.dual_coef_[0].copy(),
    )


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean log loss of probabilities [n], in nats; they are kept 1e-6 away from 0 and 1."""
    p = np.clip(probabilities, 1e-6, 1 - 1e-6)
    return float(-np.mean(np.where(labels, np.log(p), np.log(1 - p))))


def _machine(kernel: str, cost: float, width: int):  # type: ignore[no-untyped-def]
    from sklearn.svm import SVC

    return SVC(kernel=kernel, C=cost, gamma=1 / width)


def inner_folds(
    features: np.ndarray, labels: np.ndarray, persons: Sequence[str], seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Divide images among inner folds of persons, at most three: indices to fit on, and held-out ones.

    Raises
    ------
    Rejected
        When fewer than two persons have, or have not, images with deposits.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    counts = [len({p for p, label in zip(persons, labels, strict=True) if label == side}) for side in (False, True)]
    if min(counts) < 2:
        raise Rejected(
            f"too few persons on the training side: {counts[1]} with and {counts[0]} without deposits, of 2 needed; "
            "read images of more patients"
        )
    divided = StratifiedGroupKFold(min(INNER_FOLDS, *counts), shuffle=True, random_state=seed)
    yield from (sides for sides in divided.split(features, labels, persons) if len(set(labels[sides[0]].tolist())) == 2)


def _calibrate(values: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Fit Platt's sigmoid to held-out decision values: slope and offset, with his priors for the targets.

    A falling sigmoid would invert what the machine has learnt: with few persons, held-out values of a class that is
    rarer in the other folds are lower by chance. It is then all but flat.
    """
    from scipy.optimize import minimize

    positive, negative = labels.sum(), (~labels).sum()
    targets = np.where(labels, (positive + 1) / (positive + 2), 1 / (negative + 2))

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        logits = x[0] * values + x[1]
        error = _sigmoid(logits) - targets
        cost = np.logaddexp(0, logits) - targets * logits
        return float(cost.mean()), np.array([(error * values).mean(), error.mean()])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS")
    if found.x[0] >= LEAST_SLOPE:
        return float(found.x[0]), float(found.x[1])

    def flat(x: np.ndarray) -> tuple[float, np.ndarray]:
        cost, slopes = loss(np.array([LEAST_SLOPE, x[0]]))
        return cost, slopes[1:]

    return LEAST_SLOPE, float(minimize(flat, np.array([0.0]), jac=True, method="BFGS").x[0])


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))
