"""Bags of features, read by memory map and padded into batches."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nephroscale.arrays import read_array, read_attributes
from nephroscale.errors import NephroscaleError
from nephroscale.models.batch import MODALITIES, Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence


@dataclass(frozen=True)
class ModalityBag:
    """One modality of a patient.

    Attributes
    ----------
    source
        [n, h, w, C] feature maps or [n, S, S, 3] pixels: a read-only memory map, or means where patches were pooled.
    rows
        For each instance its place in `source`; -1 where a slot of the IM panel is empty.
    images
        For each instance the id of its image; empty for an empty slot.
    available
        How many instances the patient has, before a choice was made among them.
    """

    source: np.ndarray
    rows: np.ndarray
    images: tuple[str, ...]
    available: int

    @property
    def mask(self) -> np.ndarray:
        """[N] bool: True where there is an instance."""
        return self.rows >= 0


@dataclass(frozen=True)
class Bag:
    """A patient's bags: one of each modality that a network takes.

    Attributes
    ----------
    patient
        Patient id.
    label
        Class index; -1 where unknown.
    modalities
        Modality to its bag.
    second
        The other class index of a patient who lies between two; None for all others.
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
    """What all patients' bags of a modality have in common, so that a batch is built also where nobody has one.

    Attributes
    ----------
    shape
        (h, w, C) of a map or (S, S, 3) of pixels.
    pixels
        Whether the bags hold pixels.
    slots
        Places of the marker panel; 0 where instances have no places.
    """

    shape: tuple[int, int, int]
    pixels: bool
    slots: int = 0


def load_bags(
    features: Mapping[str, Mapping[str, Path]],
    ids: Sequence[str],
    modalities: Sequence[str],
    *,
    labels: Mapping[str, int] | None = None,
    second: Mapping[str, int] | None = None,
    lacking: Mapping[str, Collection[str]] | None = None,
    negatives: Mapping[str, Sequence[int]] | None = None,
    apart: Collection[str] = (),
    maximum_instances: int = 10,
    seed: int = 0,
) -> list[Bag]:
    """Open the bags of some patients; pixels and features stay on disk until a batch needs them.

    Parameters
    ----------
    features
        Patient id to modality to the Zarr group of the stage `features`.
    ids
        Patients to open, in this order.
    modalities
        Which of TEM, OM and IM.
    labels
        Patient id to class index, where known.
    second
        Patient id to the other class index, of those who lie between two.
    lacking
        Patient id to the modalities that the patient is known to lack: these have no entry in the bag.
    negatives
        Patient id to the slots of the IM panel whose markers were found negative and not photographed.
    apart
        Patients that must not be among `ids`: the test patients, while training.
    maximum_instances
        Most TEM instances of a bag. Of more, a choice is made that depends on the seed and the patient id alone.
    seed
        Seed of that choice.

    Raises
    ------
    NephroscaleError
        When a patient of `apart` is asked for, or a patient lacks a modality that is not in `lacking`.
    """
    leaked = sorted(set(ids) & set(apart))
    if leaked:
        raise NephroscaleError(
            f"Test patients were about to be used in training: {', '.join(leaked)}.",
            where="the fold's training and validation patients",
            todo="Make the folds again; a patient has to be on one side.",
        )
    bags = []
    for patient in ids:
        opened = {}
        for modality in modalities:
            if modality in (lacking or {}).get(patient, ()):
                continue
            path = features.get(patient, {}).get(modality)
            bag = _open(Path(path), modality) if path is not None else None
            if bag is None or not bag.mask.any():
                raise NephroscaleError(
                    f"Patient {patient} has no {modality} features.",
                    where="features",
                    todo=f"Leave the patient out of the folds, or take a model without {modality}.",
                )
            if modality == "TEM":
                bag = _thin(bag, maximum_instances, seed, patient)
            opened[modality] = bag
        found = tuple((negatives or {}).get(patient, ())) if "IM" in modalities else ()
        label = -1 if labels is None else labels[patient]
        bags.append(Bag(patient, label, opened, (second or {}).get(patient), found))
    return bags


def _open(path: Path, modality: str) -> ModalityBag:
    source, attributes = read_array(path, "features"), read_attributes(path)
    image, names = read_array(path, "image"), attributes["images"]
    rows = np.arange(len(source))
    if modality == "IM":
        slot = read_array(path, "slot")
        rows = np.full(max(1, len(attributes.get("panel") or [])), -1)
        for row in reversed(range(len(source))):  # the first of a slot stays: the best
            rows[slot[row]] = row
    elif modality == "TEM" and len(np.unique(image)) < len(image):
        # Patches: what SMIL chooses among are images, so the patches of an image are pooled first.
        if source.dtype == np.uint8:
            raise NephroscaleError(
                "An encoder cannot be trained on several patches of one image.",
                where="tem: instance: patch, with an encoder of pixels",
                todo="Take `tem: instance: image`, or an encoder that stores feature maps.",
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
    """Report the patients of whose TEM instances a choice was made: patient id to [taken, available]."""
    counts = {bag.patient: bag.modalities["TEM"] for bag in bags if "TEM" in bag.modalities}
    return {who: [len(bag.rows), bag.available] for who, bag in sorted(counts.items()) if len(bag.rows) < bag.available}


def shapes_of(bags: Sequence[Bag]) -> dict[str, tuple[int, int, int]]:
    """Tell the shape of an instance of each modality, and check that all patients agree.

    Raises
    ------
    NephroscaleError
        When two patients' instances differ in shape or kind.
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
                    todo="Make the features again with one encoder.",
                )
    return shapes


def holds_pixels(bags: Sequence[Bag]) -> dict[str, bool]:
    """Tell for each modality whether the bags hold pixels rather than feature maps."""
    return {name: content.source.dtype == np.uint8 for bag in bags for name, content in bag.modalities.items()}


def layouts_of(bags: Sequence[Bag]) -> dict[str, Layout]:
    """Tell what the bags of each modality have in common, in the order of the modalities."""
    shapes, pixels = shapes_of(bags), holds_pixels(bags)
    slots = max((len(bag.modalities["IM"].rows) for bag in bags if "IM" in bag.modalities), default=0)
    names = [name for name in MODALITIES if name in shapes]
    return {name: Layout(shapes[name], pixels[name], slots if name == "IM" else 0) for name in names}


def layouts_from(metadata: Mapping[str, Any]) -> dict[str, Layout]:
    """Tell the same of the bags that a network was trained on, from its `model.json`."""
    settings = metadata["settings"]
    slots = {"IM": int(settings.get("slots", 1))}
    shapes = {name: metadata["shapes"][name] for name in MODALITIES if name in metadata["modalities"]}
    return {
        name: Layout((int(h), int(w), int(c)), bool(settings.get("encoder")), slots.get(name, 0))
        for name, (h, w, c) in shapes.items()
    }


def collate(bags: Sequence[Bag], layouts: Mapping[str, Layout] | None = None) -> Batch:
    """Read and pad some patients' bags: features as float32, pixels as uint8, padding zero.

    `layouts` are those of the bags themselves when left out, which is enough where nobody lacks a modality.
    """
    features, masks, negative = {}, {}, {}
    for modality, layout in (layouts_of(bags) if layouts is None else layouts).items():
        contents = {i: bag.modalities[modality] for i, bag in enumerate(bags) if modality in bag.modalities}
        longest = max([1, layout.slots, *(len(content.rows) for content in contents.values())])
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
                states[i, [slot for slot in bag.negative if slot < longest]] = True  # bags from outside have no panel
            negative[modality] = torch.from_numpy(states & ~mask)  # a picture says more than the finding
    labels = torch.tensor([bag.label for bag in bags])
    second = None
    if any(bag.second is not None for bag in bags):
        second = torch.tensor([bag.label if bag.second is None else bag.second for bag in bags])
    return Batch.of(features, masks, labels, [bag.patient for bag in bags], second, negative=negative)


def digest_bags(bags: Sequence[Bag], update: Callable[[bytes], object]) -> None:
    """Feed everything that decides what a network learns from the bags into a hash's `update`."""
    for bag in bags:
        if bag.negative:
            update(repr([bag.patient, "negative", *bag.negative]).encode())
        for modality, content in sorted(bag.modalities.items()):
            header = [bag.patient, bag.label, modality, content.source.dtype.name, *content.source.shape]
            header += [] if bag.second is None else [bag.second]
            update(repr(header).encode())
            update(content.rows.astype("<i8").tobytes())
            update(np.ascontiguousarray(content.source).tobytes())
