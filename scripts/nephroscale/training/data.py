"""Bags of features, read by memory map and padded into batches."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from nephroscale.arrays import read_array, read_attributes
from nephroscale.errors import NephroscaleError
from nephroscale.models.batch import MODALITIES, Batch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from nephroscale.models.weights import ModelCard
    from nephroscale.training.tem_priors import TemPriors


@dataclass(frozen=True)
class ModalityBag:
    """One modality of a patient.

    Attributes
    ----------
    source
        [n, h, w, C] feature maps or [n, S, S, 3] pixels: a read-only memory map, or an array of means of patches.
    rows
        For each instance its index in `source`; -1 for an empty slot of the IM panel.
    images
        For each instance the id of its image; an empty text for an empty slot.
    available
        Number of instances of the patient, before a subset was drawn.
    prior
        [N] float32, above 0: prior of each instance; None without one.
    """

    source: np.ndarray
    rows: np.ndarray
    images: tuple[str, ...]
    available: int
    prior: np.ndarray | None = None

    @property
    def mask(self) -> np.ndarray:
        """[N] bool: True for an instance."""
        return self.rows >= 0


@dataclass(frozen=True)
class Bag:
    """The bags of a patient: one for each modality that a network reads.

    Attributes
    ----------
    patient
        Patient id.
    label
        Class index; -1 where unknown.
    modalities
        Modality to its bag.
    second
        The other class index of a patient between two classes; None for all others.
    negative
        Slots of the IM panel whose markers were found negative and not photographed.
    """

    patient: str
    label: int
    modalities: dict[str, ModalityBag]
    second: int | None = None
    negative: tuple[int, ...] = ()


@dataclass(frozen=True)
class Layout:
    """Shape and kind of a modality's bags, from which a batch is built even if none of its patients has the modality.

    Attributes
    ----------
    shape
        (h, w, C) of a map or (S, S, 3) of pixels.
    pixels
        Whether the bags hold pixels.
    slots
        Slots of the marker panel; 0 for modalities without slots.
    """

    shape: tuple[int, int, int]
    pixels: bool
    slots: int = 0


@dataclass(frozen=True)
class BagSource:
    """The stored features of patients, with the facts about the patients that their bags need.

    Attributes
    ----------
    features
        Patient id to modality to the Zarr group of the stage `features`.
    labels
        Patient id to class index; empty where labels are unknown.
    second
        Patient id to the other class index, for patients between two classes.
    lacking
        Patient id to the modalities that the patient is known to lack.
    negatives
        Patient id to the slots of the IM panel whose markers were found negative and not photographed.
    priors
        Priors of TEM images; None without.
    """

    features: Mapping[str, Mapping[str, Path]]
    labels: Mapping[str, int] = field(default_factory=dict)
    second: Mapping[str, int] = field(default_factory=dict)
    lacking: Mapping[str, Collection[str]] = field(default_factory=dict)
    negatives: Mapping[str, Sequence[int]] = field(default_factory=dict)
    priors: TemPriors | None = None

    def open(
        self, ids: Iterable[str], modalities: Collection[str], *, max_tem_instances: int = 10, seed: int = 0
    ) -> list[Bag]:
        """Open the bags of some patients; pixels and features stay on disk until a batch needs them.

        Parameters
        ----------
        ids
            Patients, in the order of the result.
        modalities
            Which of TEM, OM and IM.
        max_tem_instances
            Most TEM instances of a bag. From a larger bag, a subset is drawn that depends on the seed and the patient
            id alone.
        seed
            Seed of the subset.

        Raises
        ------
        NephroscaleError
            When a patient has no features of a modality that is not in `lacking`.
        """
        bags = []
        for patient in ids:
            lacking = self.lacking.get(patient, ())
            opened = {name: self._open(patient, name) for name in modalities if name not in lacking}
            if "TEM" in opened:
                bag = _thin(opened["TEM"], max_tem_instances, seed, patient)
                if self.priors:
                    bag = replace(bag, prior=np.array([self.priors.of(image) for image in bag.images], np.float32))
                opened["TEM"] = bag
            negative = tuple(self.negatives.get(patient, ())) if "IM" in modalities else ()
            bags.append(Bag(patient, self.labels.get(patient, -1), opened, self.second.get(patient), negative))
        return bags

    def _open(self, patient: str, modality: str) -> ModalityBag:
        path = self.features.get(patient, {}).get(modality)
        bag = _open(Path(path), modality) if path is not None else None
        if bag is None or not bag.mask.any():
            raise NephroscaleError(
                f"Patient {patient} has no {modality} features.",
                where="features",
                fix=f"Exclude the patient from the folds, or use a model without {modality}.",
            )
        return bag


def _open(path: Path, modality: str) -> ModalityBag:
    source, attributes = read_array(path, "features"), read_attributes(path)
    image, names = read_array(path, "image"), attributes["images"]
    rows = np.arange(len(source))
    if modality == "IM":
        slot = read_array(path, "slot")
        rows = np.full(max(1, len(attributes.get("panel") or [])), -1)
        for row in reversed(range(len(source))):  # the first of a slot, which is the best, is kept
            rows[slot[row]] = row
    elif modality == "TEM" and len(np.unique(image)) < len(image):
        # SMIL selects images, so the patches of an image are pooled first.
        if source.dtype == np.uint8:
            raise NephroscaleError(
                "An encoder cannot be trained on several patches of one image.",
                where="tem: instance: patch, with an encoder of pixels",
                fix="Set `tem: instance: image`, or use an encoder that stores feature maps.",
            )
        present = np.unique(image)
        source = np.stack([source[image == i].mean(0, dtype=np.float32) for i in present])
        rows, image = np.arange(len(present)), present
    images = tuple(str(names[image[row]]) if row >= 0 else "" for row in rows)
    return ModalityBag(source, rows, images, int((rows >= 0).sum()))


def _thin(bag: ModalityBag, most: int, seed: int, patient: str) -> ModalityBag:
    if bag.available <= most:
        return bag
    key = int.from_bytes(blake2b(f"{seed}:{patient}".encode(), digest_size=8).digest(), "little")
    chosen = np.sort(np.random.default_rng(key).choice(len(bag.rows), most, replace=False))
    return ModalityBag(bag.source, bag.rows[chosen], tuple(bag.images[i] for i in chosen), bag.available)


def thinned(bags: Sequence[Bag]) -> dict[str, list[int]]:
    """Report the patients with a subset of their TEM instances: patient id to [taken, available]."""
    counts = {bag.patient: bag.modalities["TEM"] for bag in bags if "TEM" in bag.modalities}
    return {id_: [len(bag.rows), bag.available] for id_, bag in sorted(counts.items()) if len(bag.rows) < bag.available}


def shapes_of(bags: Sequence[Bag]) -> dict[str, tuple[int, int, int]]:
    """Determine the shape of an instance of each modality, and check that all patients agree.

    Raises
    ------
    NephroscaleError
        When the instances of two patients differ in shape or kind.
    """
    shapes: dict[str, tuple[int, int, int]] = {}
    kinds: dict[str, bool] = {}
    for bag in bags:
        for modality, content in bag.modalities.items():
            h, w, c = content.source.shape[1:]
            pixels = content.source.dtype == np.uint8
            if shapes.setdefault(modality, (h, w, c)) != (h, w, c) or kinds.setdefault(modality, pixels) != pixels:
                raise NephroscaleError(
                    f"The {modality} features of patient {bag.patient} have another shape than those before.",
                    where="features",
                    fix="Extract the features again with one encoder.",
                )
    return shapes


def holds_pixels(bags: Sequence[Bag]) -> dict[str, bool]:
    """Determine for each modality whether the bags hold pixels rather than feature maps."""
    return {name: content.source.dtype == np.uint8 for bag in bags for name, content in bag.modalities.items()}


def layouts_of(bags: Sequence[Bag]) -> dict[str, Layout]:
    """Determine the layout of each modality's bags, in the order of the modalities."""
    shapes, pixels = shapes_of(bags), holds_pixels(bags)
    slots = max((len(bag.modalities["IM"].rows) for bag in bags if "IM" in bag.modalities), default=0)
    names = [name for name in MODALITIES if name in shapes]
    return {name: Layout(shapes[name], pixels[name], slots if name == "IM" else 0) for name in names}


def layouts_from(card: ModelCard) -> dict[str, Layout]:
    """Describe the bags that a network was trained on, from its `model.json`."""
    slots = {"IM": card.slots}
    return {name: Layout(shape, card.reads_pixels, slots.get(name, 0)) for name, shape in card.shapes.items()}


def collate(bags: Sequence[Bag], layouts: Mapping[str, Layout] | None = None, multiple: int = 1) -> Batch:
    """Read and pad some patients' bags: features as float32, pixels as uint8, padding zero.

    Without `layouts`, those of the bags are used; this is sufficient if no patient lacks a modality. Slots of pixels
    without an order, more than `multiple` of them, are rounded up to a multiple of it.
    """
    features, masks, negative = {}, {}, {}
    for modality, layout in (layouts_of(bags) if layouts is None else layouts).items():
        contents = {i: bag.modalities[modality] for i, bag in enumerate(bags) if modality in bag.modalities}
        longest = max([1, layout.slots, *(len(content.rows) for content in contents.values())])
        if layout.pixels and not layout.slots and longest > multiple:
            longest += -longest % multiple
        padded = np.zeros((len(bags), longest, *layout.shape), np.uint8 if layout.pixels else np.float32)
        mask = np.zeros((len(bags), longest), bool)
        for i, content in contents.items():
            here = content.mask
            mask[i, : len(here)] = here
            padded[i, : len(here)][here] = content.source[content.rows[here]]
        features[modality], masks[modality] = torch.from_numpy(padded), torch.from_numpy(mask)
        if modality == "IM" and any(bag.negative for bag in bags):
            states = np.zeros_like(mask)
            for i, bag in enumerate(bags):
                states[i, [slot for slot in bag.negative if slot < longest]] = True  # imported bags have no panel
            negative[modality] = torch.from_numpy(states & ~mask)  # a picture takes precedence over the finding
    labels = torch.tensor([bag.label for bag in bags])
    tem = {i: bag.modalities["TEM"] for i, bag in enumerate(bags) if "TEM" in bag.modalities}
    prior = None
    if "TEM" in masks and any(content.prior is not None for content in tem.values()):
        prior = torch.ones(masks["TEM"].shape)
        for i, content in tem.items():
            if content.prior is not None:
                prior[i, : len(content.prior)] = torch.from_numpy(content.prior)
    between = any(bag.second is not None for bag in bags)
    second = torch.tensor([bag.label if bag.second is None else bag.second for bag in bags]) if between else None
    return Batch.of(features, masks, labels, [bag.patient for bag in bags], second, negative=negative, prior=prior)


def class_counts(bags: Sequence[Bag], classes: int) -> list[float]:
    """Count the patients of each class; a patient between two classes counts half for each."""
    counts = [0.0] * classes
    for bag in bags:
        for label in (bag.label, bag.label if bag.second is None else bag.second):
            counts[label] += 0.5
    return counts
