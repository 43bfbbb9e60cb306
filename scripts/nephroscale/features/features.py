"""From a patient's crops or TEM instances to one bag of feature maps or pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np

from nephroscale.ahead import ahead
from nephroscale.arrays import read_array, read_attributes, write_arrays
from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.features import registry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nephroscale.features.settings import EncoderSettings, ExtractionSettings
    from nephroscale.features.source import FeatureSource
    from nephroscale.json_text import JSON


@dataclass(frozen=True)
class _Instance:
    """One image to encode, and the entries of the bag's other arrays for it."""

    crops: np.ndarray
    index: int
    image_id: str
    slot: int
    score: float
    position: tuple[float, float]


def to_rgb8(image: np.ndarray) -> np.ndarray:
    """Convert one stored image to 8-bit RGB by a fixed rule.

    Parameters
    ----------
    image
        [S, S, 3] uint8 (OM), [S, S] uint8 (TEM), or [S, S, 1] uint16 or uint8 (IM).

    Returns
    -------
    numpy.ndarray
        [S, S, 3] uint8. Grey is repeated three times. Of 16 bits the upper 8 are kept; nothing is stretched to the
        image's own range, so that calibrated intensities stay comparable between patients.
    """
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.dtype != np.uint8:
        raise NephroscaleError(f"Images to encode are of 8 or 16 bits, not {image.dtype}.")
    if image.ndim == 2:
        image = image[:, :, None]
    return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Scale [S, S, 3] uint8 to `size` pixels a side: area mean when shrinking, bilinear when enlarging."""
    if image.shape[:2] == (size, size):
        return image
    shrinks = size < max(image.shape[:2])
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _crops_of(source: FeatureSource) -> list[_Instance]:
    """Crops of one slide, in their written order of representativeness."""
    group = source.path / "crops"
    crops, score, centre = (read_array(group, name) for name in ("crops", "score", "centre"))
    return [
        _Instance(crops, i, source.image_id, source.slot, float(score[i]), (float(x), float(y)))
        for i, (x, y) in enumerate(centre)
    ]


def _best(slides: Sequence[list[_Instance]], count: int) -> list[_Instance]:
    """Merge slides by score, in each slide's own order (which also weighs completeness); ties go to the first slide."""
    queues = [list(slide) for slide in slides if slide]
    chosen: list[_Instance] = []
    while queues and len(chosen) < count:
        chosen.append(max(queues, key=lambda q: q[0].score).pop(0))
        queues = [q for q in queues if q]
    return chosen


def _tem_instances(source: FeatureSource) -> tuple[list[_Instance], list[str]]:
    names = [str(name) for name in read_attributes(source.path)["images"]]
    images, image, box, valid = (read_array(source.path, name) for name in ("images", "image", "box", "valid"))
    instances = []
    for i, (y, x, height, width) in enumerate(np.asarray(box, np.float64)):
        share = float(valid[i, 2]) * float(valid[i, 3]) / (images.shape[1] * images.shape[2])
        instances.append(_Instance(images, i, names[int(image[i])], 0, share, (x + width / 2, y + height / 2)))
    return instances, names


def _choose(
    modality: str, sources: Sequence[FeatureSource], om_glomeruli: int, slots: int
) -> tuple[list[_Instance], list[str]]:
    """Return the instances of the bag, and the ids of all images considered."""
    ordered = sorted(sources, key=lambda source: (source.slot, source.image_id))
    if modality == "TEM":
        found = [_tem_instances(source) for source in ordered]
        return [i for instances, _ in found for i in instances], [n for _, names in found for n in names]
    names = [source.image_id for source in ordered]
    slides = [_crops_of(source) for source in ordered]
    if modality == "OM":
        return _best(slides, om_glomeruli), names
    best = (_best([slide for slide in slides if slide and slide[0].slot == slot], 1) for slot in range(slots))
    return [instance for chosen in best for instance in chosen], names


def extract_features(  # noqa: PLR0917  (one argument per input of a job)
    patient: str,
    modality: str,
    sources: Sequence[FeatureSource],
    encoder: EncoderSettings,
    settings: ExtractionSettings,
    out: Path,
    device: str = "cpu",
) -> dict[str, JSON]:
    """Encode a patient's images of one modality into a bag, or import a bag made elsewhere (encoder `h5`).

    OM: the `om_glomeruli` best crops over the patient's slides of the best available stain. IM: the best crop of each
    marker of the panel; a marker without crops leaves its slot out. TEM: every instance.

    Parameters
    ----------
    patient
        The patient's id.
    modality
        `OM`, `IM` or `TEM`.
    sources
        The objects to read; for `h5` the files of single images, if there are any.
    encoder
        The encoder, with the path of its weights.
    settings
        Precision, batch size, number of glomeruli, and the markers of the IM panel by slot.
    out
        Zarr group to create: `features` [n, h, w, C] or pixels [n, S, S, 3] uint8; `image` [n] int16 into the
        attribute `images`; `slot` [n] int8; `score` [n] float32 (of the glomerulus; of a TEM instance the fraction
        that is image and not margin); `position` [n, 2] float32, centre x, y in pixels of the raw image.
    device
        `cpu` or `cuda`.

    Returns
    -------
    dict
        `instances`, `shape` of one instance, `encoder`, and for IM the `markers` of the instances; of an imported bag
        `instances` and `channels`.

    Raises
    ------
    Rejected
        When there is no instance.
    NephroscaleError
        When the encoder cannot be created, or its values do not fit the precision.
    """
    if encoder.name == registry.H5:
        imported: dict[str, JSON] = registry.load_module(encoder.name).import_h5(
            patient, modality, encoder.h5_folder, out, sources, settings.panel
        )
        return imported
    chosen, names = _choose(modality, sources, settings.om_glomeruli, len(settings.panel))
    if not chosen:
        what = {
            "OM": "no glomerulus on the OM slides",
            "IM": "no glomerulus on the IM slides",
            "TEM": "no TEM instance",
        }
        raise Rejected(f"{what[modality]}, so the bag is empty")
    network = registry.kept(encoder, device)
    maps: np.ndarray | None = None
    size, done = settings.batch_size or (64 if device == "cuda" else 8), 0
    batches = [chosen[start : start + size] for start in range(0, len(chosen), size)]

    def encode(batch: Sequence[_Instance]) -> np.ndarray:
        images = (to_rgb8(np.asarray(each.crops[each.index])) for each in batch)
        return network.encode(np.stack([resize(image, network.size_px) for image in images]))

    # With two threads, a GPU encodes one batch while another is read or copied back.
    for encoded in ahead((partial(encode, batch) for batch in batches), 2 if device == "cuda" else 1):
        if maps is None:
            dtype = encoded.dtype if encoded.dtype == np.uint8 else np.dtype(settings.dtype)
            maps = np.empty((len(chosen), *encoded.shape[1:]), dtype)
        maps[done : done + len(encoded)] = encoded
        done += len(encoded)
    assert maps is not None
    if maps.dtype != np.uint8 and not np.isfinite(maps).all():
        raise NephroscaleError(
            f"The encoder {network.name!r} gave values that {maps.dtype} cannot hold.",
            where=f"{patient}, {modality}",
            fix="Set features.dtype to float32, or check the weights.",
        )
    write_arrays(
        out,
        {
            "features": maps,
            "image": np.array([names.index(c.image_id) for c in chosen], np.int16),
            "slot": np.array([c.slot for c in chosen], np.int8),
            "score": np.array([c.score for c in chosen], np.float32),
            "position": np.array([c.position for c in chosen], np.float32),
        },
        {
            "patient": patient,
            "modality": modality,
            "encoder": network.name,
            "images": names,
            "panel": list(settings.panel),
        },
    )
    figures: dict[str, JSON] = {"instances": len(chosen), "shape": [*maps.shape[1:]], "encoder": network.name}
    if modality == "IM":
        figures["markers"] = [settings.panel[c.slot] for c in chosen]
    return figures
