"""Constants and readers for the tests of an ensemble."""

import csv

import numpy as np

CLASSES = ["I", "II", "III"]


def read_table(path):
    with path.open() as stream:
        return list(csv.DictReader(stream))


def probabilities_of(row, prefix):
    return np.array([float(row[f"{prefix}_{name}"]) for name in CLASSES])
