"""CMSA's attention on the pages of cases, with the deletion test that says whether predictions depend on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from scipy.stats import ttest_1samp

from nephroscale.arrays import read_array, read_attributes
from nephroscale.collect import grouped
from nephroscale.evaluation.deletion import SHARE, read_deletions
from nephroscale.evaluation.tables import PoolingWeight, read_pooling
from nephroscale.glomeruli.crops import to_display
from nephroscale.reporting.pictures import ScaleBar, scale_bar, to_data_uri
from nephroscale.reporting.report_inputs import FoldRun

HIGH = (255, 140, 0)
LONGEST, MOST = 448, 6


class DeletionTest(NamedTuple):
    """Deletion test of one modality's attention over the test patients.

    Attributes
    ----------
    patients
        Number of patients; biopsies and seeds of a patient are averaged.
    regions, deleted
        Regions of a map, and how many were deleted.
    highest, random
        Mean fall of the probability of the predicted class without the regions with the most attention, and without as
        many random ones.
    low, high
        95 % interval (t) of the mean difference between the two.
    """

    patients: int
    regions: int
    deleted: int
    highest: float
    random: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """Mean difference between the two falls."""
        return self.highest - self.random

    @property
    def holds(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.low > 0


class Attended(NamedTuple):
    """Attention of a case: modality to its map [h, w], and the OM and IM instances that the network pooled."""

    maps: dict[str, np.ndarray]
    pooled: list[PoolingWeight]


class AttentionCard(NamedTuple):
    """An image with the attention on it; `weight` is the image's weight in the pooling of its bag."""

    image_id: str
    number: int
    weight: float
    picture: str
    bar: ScaleBar | None


def pool_deletions(runs: Iterable[FoldRun], people: Mapping[str, str]) -> dict[str, DeletionTest]:
    """Pool the deletion tests of all folds and seeds: modality to its test.

    A modality with fewer than two patients, or without any spread between them, has none.

    Parameters
    ----------
    runs
        Of the headline model.
    people
        Case to patient, for patients with several biopsies.
    """
    rows = [row for run in runs if run.evaluation for row in read_deletions(run.evaluation / "deletion.csv")]
    found = {}
    for modality in sorted({row.modality for row in rows}, reverse=True):  # OM before IM
        own = [row for row in rows if row.modality == modality]
        by_person = grouped(
            (people.get(row.patient_id, row.patient_id), (row.whole - row.highest, row.whole - row.random))
            for row in own
        )
        falls = np.array([np.mean(several, axis=0) for several in by_person.values()])
        difference = falls[:, 0] - falls[:, 1]
        if len(falls) < 2 or not np.ptp(difference):
            continue
        low, high = ttest_1samp(difference, 0.0).confidence_interval(0.95)
        highest, random = falls.mean(axis=0).tolist()
        found[modality] = DeletionTest(
            len(falls), own[0].regions, own[0].deleted, highest, random, float(low), float(high)
        )
    return found


def read_attended(runs: Iterable[FoldRun]) -> dict[str, Attended]:
    """Read the attention of each case in the first seed's network of its fold, averaged over the tokens of TEM."""
    found: dict[str, Attended] = {}
    done: set[str] = set()
    for run in sorted(runs, key=lambda run: run.seed):
        if run.fold in done or run.evaluation is None or not (run.evaluation / "deletion.csv").is_file():
            continue
        done.add(run.fold)
        tested = {(row.patient_id, row.modality) for row in read_deletions(run.evaluation / "deletion.csv")}
        folder = run.evaluation / "attention"
        cases = [str(case) for case in read_attributes(folder)["patients"]]
        pooled = grouped((row.patient_id, row) for row in read_pooling(run.evaluation / "pooling.csv"))
        for modality in sorted({modality for _, modality in tested}):
            means = np.asarray(read_array(folder, modality)).mean(axis=1)
            side = round(means.shape[1] ** 0.5)
            if side * side != means.shape[1]:  # a map that is not square cannot be laid over a picture
                continue
            for case, mean in zip(cases, means, strict=True):
                if (case, modality) in tested:
                    found.setdefault(case, Attended({}, pooled.get(case, []))).maps[modality] = mean.reshape(side, side)
    return found


def attention_cards(attended: Attended, modality: str, crops: Mapping[str, Path]) -> list[AttentionCard]:
    """Draw the attention on the images that the network read, those with the largest weight first.

    Parameters
    ----------
    attended
        Attention of the case.
    modality
        `OM` or `IM`.
    crops
        Image id to the Zarr group of its crops, in whose order the network took them.
    """
    seen: dict[str, int] = {}
    cards = []
    for row in sorted(attended.pooled, key=lambda row: row.index or 0):
        if row.modality != modality or row.state != "image" or row.image_id not in crops:
            continue
        place = seen[row.image_id] = seen.get(row.image_id, -1) + 1
        pictures = read_array(crops[row.image_id], "crops")
        if row.weight <= 0 or place >= len(pictures):
            continue
        picture = draw_attention(to_display(np.asarray(pictures[place])), attended.maps[modality])
        um = read_attributes(crops[row.image_id])["um_per_px"]
        bar = scale_bar(picture, float(um) * (pictures.shape[2] / picture.shape[1]), "um") if um else None
        cards.append(AttentionCard(row.image_id, place + 1, row.weight, to_data_uri(picture), bar))
    return sorted(cards, key=lambda card: (-card.weight, card.image_id, card.number))[:MOST]


def draw_attention(picture: np.ndarray, attention: np.ndarray) -> np.ndarray:
    """Tint the regions of a picture by their attention and outline those with the most, which the test deletes.

    Parameters
    ----------
    picture
        [S, S, 3] uint8 RGB.
    attention
        [h, w], at least 0.
    """
    side = LONGEST - LONGEST % attention.shape[0]
    large = cv2.resize(picture, (side, side), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    strength = (0.6 * (attention / attention.max()).astype(np.float64)).astype(np.float32)
    strength = strength.repeat(side // len(strength), axis=0).repeat(side // len(strength), axis=1)[..., None]
    red, green, blue = np.moveaxis(large, 2, 0)  # added in turn: a mean over three neighbours is slow
    grey = ((red + green + blue) / 3)[..., None] * 0.5 + large * 0.5
    drawn = np.ascontiguousarray(
        (grey * (1 - strength) + np.array(HIGH, np.float32) * strength).round().astype(np.uint8)
    )
    highest = np.zeros(attention.size, np.uint8)
    highest[np.argsort(-attention.ravel(), kind="stable")[: max(1, round(SHARE * attention.size))]] = 1
    mask = np.kron(highest.reshape(attention.shape), np.ones((side // attention.shape[0],) * 2, np.uint8))
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(drawn, contours, -1, (0, 0, 0), 4, cv2.LINE_8)
    cv2.drawContours(drawn, contours, -1, (255, 255, 255), 2, cv2.LINE_8)
    return drawn
