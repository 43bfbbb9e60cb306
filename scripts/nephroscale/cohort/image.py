"""An image of the cohort, and a marker that was negative and therefore not photographed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from nephroscale.cohort.deposits import Deposits


@dataclass(frozen=True, slots=True)
class TableScale:
    """Size of a pixel as the tables give it.

    Parameters
    ----------
    value
        µm per pixel (``um``) or nm per pixel (``nm``).
    unit
        ``um`` or ``nm``.
    source
        ``table`` for a value of the image's own row, ``instrument`` for one looked up by microscope and magnification.
    wins
        Whether it counts before the scale in the file (``scale_from: table``).
    """

    value: float
    unit: Literal["um", "nm"]
    source: Literal["table", "instrument"] = "table"
    wins: bool = False


@dataclass(frozen=True, slots=True)
class ImageRow:
    """What the tables state of an image, without paths: the part of a row that recipes and computations read.

    Parameters
    ----------
    id, patient_id
        Ids of the image and of its patient.
    modality
        ``OM``, ``IM`` or ``TEM``.
    biopsy_id
        None where the table names no biopsy.
    stain
        Stain of an OM image.
    marker
        Marker of an IM image.
    scale
        None where the tables give none.
    roi
        ``whole`` where one glomerulus fills the field.
    exposure_ms
        Exposure in milliseconds; None where unknown or automatic.
    gain
        None where unknown.
    grade
        Semiquantitative grade of the marker, 0 to 4.
    page
        Page of the file, from 1; None where the table names none.
    channel
        Channel of an IM image that is the marker's; None where the table names none.
    """

    id: str
    patient_id: str
    modality: str
    biopsy_id: str | None = None
    stain: str | None = None
    marker: str | None = None
    scale: TableScale | None = None
    roi: str | None = None
    exposure_ms: float | None = None
    gain: float | None = None
    grade: float | None = None
    page: int | None = None
    channel: str | None = None

    def to_mapping(self) -> dict[str, object]:
        """Return the row as it enters recipes, in JSON types."""
        row = {name: getattr(self, name) for name in self.__slots__}
        return row | {"scale": asdict(self.scale) if self.scale else None}


@dataclass(frozen=True, slots=True)
class Image:
    """One row of the table of images.

    Parameters
    ----------
    path, annotation, deposit_outlines
        Files, resolved against ``data.root``.
    deposits
        Electron-dense deposits of a TEM image as a pathologist read them; None where nobody did.
    page
        Page of the file (``a.tif#2``), from 1; None where the table names none.
    scale, roi, exposure_ms, gain, grade, channel
        As in :class:`ImageRow`.
    same_as, same_as_reason
        Id of an image that may have the same content, and why that is right; None for almost all images. Only the
        search for duplicates reads them.
    """

    id: str
    patient_id: str
    biopsy_id: str | None
    modality: str
    stain: str | None
    marker: str | None
    path: Path
    scale: TableScale | None
    roi: str | None
    exposure_ms: float | None
    gain: float | None
    grade: float | None
    annotation: Path | None
    deposits: Deposits | None = None
    deposit_outlines: Path | None = None
    same_as: str | None = None
    same_as_reason: str | None = None
    page: int | None = None
    channel: str | None = None

    def row(self) -> ImageRow:
        """Return the row without paths, and without labels: images are prepared and encoded without them."""
        return ImageRow(
            id=self.id,
            patient_id=self.patient_id,
            modality=self.modality,
            biopsy_id=self.biopsy_id,
            stain=self.stain,
            marker=self.marker,
            scale=self.scale,
            roi=self.roi,
            exposure_ms=self.exposure_ms,
            gain=self.gain,
            grade=self.grade,
            page=self.page,
            channel=self.channel,
        )


@dataclass(frozen=True, slots=True)
class Negative:
    """A marker that was found negative (grade 0) and therefore not photographed: not the same as a missing image."""

    id: str
    patient_id: str
    biopsy_id: str | None
    marker: str
