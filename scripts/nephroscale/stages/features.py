"""`features`: one bag of feature maps for each patient and modality.

The artifact is a Zarr group of n instances: `features` [n, h, w, C] in `features.dtype` (encoder `pixels`: [n, S, S, 3]
uint8; `h5`: as in the files), `image` [n] int16 (index into the attribute `images`, the ids), `slot` [n] int8 (place in
`im.panel`; 0 for OM and TEM), `score` [n] float32 and `position` [n, 2] float32 (centre x, y in pixels of the raw
image). It is in the store; the link ``<results>/features/<patient>-<modality>.zarr`` leads to it.

A job reads the crops from `glomeruli` (OM, IM) or the instances from `tem` (TEM), and the weights of the encoder. With
the encoder `h5` it reads files of `h5_folder` instead: `<patient>.h5`, or where that is absent those of the images. It
calls `features.features.extract_features`. Where a bag is rejected, `task.missing_modalities` decides what follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from nephroscale.engine.job import Job, JobInput
from nephroscale.engine.stage import Need, PlanView, Stage, need
from nephroscale.errors import Rejected
from nephroscale.features.registry import H5, modules_of
from nephroscale.features.settings import EncoderSettings, ExtractionSettings
from nephroscale.features.source import FeatureSource
from nephroscale.features.weights import require_digest
from nephroscale.stages.units import PatientModality


class Features(Stage):
    """One job per patient and modality."""

    name = "features"
    rule = "extract_features"
    pattern = "{patient}-{modality}"
    suffix = ".zarr"
    torch = True
    on_device = True
    keeps_process = True

    def units(self, plan: PlanView) -> list[str]:
        """Eligible patients for diagnosis and external ones, each with the modalities that any model reads."""
        return [str(PatientModality(patient, modality)) for patient in plan.patients for modality in plan.modalities]

    def new_units(self, plan: PlanView) -> list[str]:
        """New patients; the target `features` leaves them out, `predict` makes them."""
        return [str(PatientModality(p, modality)) for p in plan.new_patients for modality in plan.modalities]

    @need("glomeruli")
    def glomeruli(self, plan: PlanView, unit: str) -> list[Need]:
        """The glomeruli of the patient's OM or IM images; those of a rejected image are left out."""
        patient, modality = PatientModality.parse(unit)
        if modality == "TEM" or self._encoder(plan, unit).name == H5:
            return []
        return [Need("glomeruli", image.id, optional=True) for image in plan.images(patient, modality)]

    @need("tem")
    def tem(self, plan: PlanView, unit: str) -> Need | None:
        """The patient's cleaned TEM images; where they are rejected, so is the bag."""
        patient, modality = PatientModality.parse(unit)
        return Need("tem", patient) if modality == "TEM" and self._encoder(plan, unit).name != H5 else None

    def settings(self, plan: PlanView, unit: str) -> ExtractionSettings:
        """The encoder of the modality, the other keys of `features`, and `om.stains` or `im.panel`.

        Paths do not count: of weights their `digest`, of h5 files :meth:`files`. What a modality does not read has a
        fixed value.
        """
        modality = PatientModality.parse(unit).modality
        features = plan.config.features
        return ExtractionSettings(
            encoder=replace(self._encoder(plan, unit), weights=None, h5_folder=None),
            dtype=features.dtype,
            batch_size=features.batch_size,
            om_glomeruli=features.om_glomeruli if modality == "OM" else 1,
            stains=plan.config.om.stains if modality == "OM" else (),
            panel=plan.config.im.panel if modality == "IM" else (),
        )

    def rows(self, plan: PlanView, unit: str) -> object:
        """The rows of the patient's images of the modality, without paths and labels."""
        patient, modality = PatientModality.parse(unit)
        return {
            "patient": patient,
            "modality": modality,
            "images": {image.id: image.row().to_mapping() for image in plan.images(patient, modality)},
        }

    def modules(self, plan: PlanView, unit: str) -> tuple[str, ...]:
        """The module of the encoder, which is imported by name: its code counts in the recipe."""
        return tuple(modules_of(self._encoder(plan, unit)))

    def files(self, plan: PlanView, unit: str) -> dict[str, str] | None:
        """For `h5`, the digests of the files that exist, of the patient and of each image; for other encoders none.

        Weights that are named without their digest are an error.
        """
        patient, modality = PatientModality.parse(unit)
        encoder = self._encoder(plan, unit)
        if encoder.name == H5:
            ids = [patient, *(image.id for image in plan.images(patient, modality))]
            paths = {name: Path(encoder.h5_folder or "") / f"{name}.h5" for name in ids}
            found = {f"h5/{name}": plan.raw_cache.digest(path) for name, path in paths.items() if path.is_file()}
            return found or {"h5": "absent"}
        require_digest(encoder.weights, encoder.digest, where=f"features.encoders.{modality}")
        return {}

    def make(self, job: Job[ExtractionSettings]) -> Mapping[str, object]:
        """Encode the chosen crops or instances (:func:`choose_sources`)."""
        from nephroscale.features.features import extract_features

        patient, modality = PatientModality.parse(job.unit)
        encoder = self._encoder(job.plan, job.unit)
        sources = slide_bags(job, Path(encoder.h5_folder or "")) if encoder.name == H5 else choose_sources(job)
        return extract_features(patient, modality, sources, encoder, job.settings, job.out, job.device)

    def _encoder(self, plan: PlanView, unit: str) -> EncoderSettings:
        return plan.config.features.encoders.of(PatientModality.parse(unit).modality)


def choose_sources(job: Job[ExtractionSettings]) -> list[FeatureSource]:
    """Choose what a bag is made from, by what is declared, never by a label.

    OM: the glomeruli of every slide of the best stain available: the first in `om.stains` of which a slide is not
    rejected. IM: each image, in the slot that its marker has in the panel. TEM: the patient's cleaned images. Of OM,
    `extract_features` then takes the `om_glomeruli` best crops of all slides, of IM the best one of each slot.

    Raises
    ------
    Rejected
        When nothing is left, with the reason for each image.
    """
    from nephroscale.features.source import FeatureSource

    patient, modality = PatientModality.parse(job.unit)
    if modality == "TEM":
        return [FeatureSource(patient, job.input("tem").object, 0)]
    found = job.inputs("glomeruli")
    usable = {each.unit: each.path for each in found if each.path}
    if not usable:
        raise _no_image(modality, found)
    return _by_slot(job, modality, usable)


def slide_bags(job: Job[ExtractionSettings], folder: Path) -> list[FeatureSource]:
    """List the h5 files of single images in a folder: of OM those of the best stain, of IM each in its slot."""
    patient, modality = PatientModality.parse(job.unit)
    paths = {image.id: folder / f"{image.id}.h5" for image in job.plan.images(patient, modality)}
    found = {image: path for image, path in paths.items() if path.is_file()}
    return _by_slot(job, modality, found) if found else []


def _by_slot(job: Job[ExtractionSettings], modality: str, usable: Mapping[str, Path]) -> list[FeatureSource]:
    from nephroscale.features.source import FeatureSource

    images = {image: job.plan.cohort.images[image] for image in usable}
    if modality == "OM":
        best = min((str(image.stain) for image in images.values()), key=job.settings.stains.index)
        slots = {name: 0 for name, image in images.items() if image.stain == best}
    elif modality == "IM":
        slots = {name: job.settings.panel.index(str(image.marker)) for name, image in images.items()}
    else:
        slots = dict.fromkeys(images, 0)
    return [FeatureSource(image, usable[image], slot) for image, slot in sorted(slots.items())]


def _no_image(modality: str, found: list[JobInput]) -> Rejected:
    if not found:
        return Rejected(f"the tables have no {modality} image that a model may read")
    reasons = "; ".join(f"{each.unit}: {each.receipt.reason}" for each in found)
    first = found[0].receipt
    cause = first.figures.get("because", f"{first.stage}/{first.unit}")  # the first cause
    return Rejected(f"no usable {modality} image ({reasons})", because=cause)


STAGE = Features()
