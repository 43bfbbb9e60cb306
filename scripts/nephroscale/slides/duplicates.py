"""Images that have the same content, found from the digests and perceptual hashes among their facts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, NotRequired, TypedDict

from nephroscale.collect import grouped
from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from nephroscale.cohort.cohort import Cohort
    from nephroscale.slides.facts import ImageFacts

BITS = 256
# Of copies saved as JPEG (quality 75 and more) or at 0.4 to 0.8 of the size, 0 to 4 bits differ; of one JPEG of quality
# 40, 10; of neighbouring sections of one block, 58 and more.
COPY_BITS = 4
SIMILAR_BITS = 32
ASPECT_TOLERANCE = 0.02
#: Part of the artifact of `register` that has what is compared here, and nothing else.
IDENTITY = ".identity"


class IdentityRow(TypedDict):
    """What the tables state about the identity of an image."""

    patient: str
    person: str
    use: str
    same_as: NotRequired[str]
    reason: NotRequired[str | None]


class IdentityFacts(TypedDict):
    """The facts of an image that are compared, among others."""

    status: str
    digest: str
    width: int
    height: int
    page: NotRequired[int | None]
    perceptual_hash: NotRequired[str | None]


@dataclass(frozen=True, slots=True)
class AlikeImages:
    """Two images with the same or similar content.

    Attributes
    ----------
    images, patients, uses
        Of both images: id, id of the patient (or case), and the patient's use.
    same_patient
        Whether both are of one patient.
    bits
        Bits of the perceptual hash (256) that differ; None for equal bytes.
    reason
        Why this is right (`same_as_reason` of the table of images); None where the table does not name it.
    """

    images: tuple[str, str]
    patients: tuple[str, str]
    uses: tuple[str, str]
    same_patient: bool
    bits: int | None
    reason: str | None = None

    @property
    def links_patients(self) -> bool:
        """Whether two patients have the same image: identical files, or the same content."""
        return not self.same_patient and (self.bits is None or self.bits <= COPY_BITS)

    @property
    def is_fault(self) -> bool:
        """Whether one image stands for two patients, and no reason is given."""
        return self.links_patients and self.reason is None

    def __str__(self) -> str:
        return f"{self.names}: {self.likeness}"

    @property
    def names(self) -> str:
        """Both images with their patients and uses."""
        both = zip(self.images, self.patients, self.uses, strict=True)
        return " and ".join(f"{image} of {patient} ({use})" for image, patient, use in both)

    @property
    def likeness(self) -> str:
        """How alike the images are."""
        if self.bits is None:
            return "identical files"
        content = "the same content" if self.bits <= COPY_BITS else "similar content"
        return f"{content} ({self.bits} of {BITS} bits of the perceptual hash differ)"

    def to_json(self) -> dict[str, object]:
        """Give what the report lists."""
        return {
            "names": self.names,
            "likeness": self.likeness,
            "same_patient": self.same_patient,
            "reason": self.reason,
        }


def identity_rows(cohort: Cohort, patients: Iterable[str]) -> dict[str, IdentityRow]:
    """Give what the tables state about the identity of images, by image id, as JSON values.

    Parameters
    ----------
    cohort
        Patients and images.
    patients
        Ids of the patients (or cases) whose images are compared.
    """
    rows: dict[str, IdentityRow] = {}
    for name in patients:
        patient = cohort.patients[name]
        for image in cohort.images_of(name):
            rows[image.id] = {"patient": name, "person": patient.person or name, "use": patient.use}
            if image.same_as:
                rows[image.id]["same_as"] = image.same_as
                rows[image.id]["reason"] = image.same_as_reason
    return rows


def read_identities(files: Iterable[Path | None]) -> dict[str, IdentityFacts]:
    """Read the facts of images, by image id, from the files that `register` wrote (None: there is none)."""
    facts: dict[str, IdentityFacts] = {}
    for path in files:
        if path and path.is_file():
            facts |= json.loads(path.read_bytes())
    return facts


def find_alike(rows: Mapping[str, IdentityRow], facts: Mapping[str, IdentityFacts]) -> list[AlikeImages]:
    """Find images with the same or similar content.

    Parameters
    ----------
    rows
        As :func:`identity_rows` gives them.
    facts
        Image id to the JSON of its facts. Images without facts, rejected ones and those without content (one grey
        level) are not compared.

    Returns
    -------
    list of AlikeImages
        Equal bytes, also within a patient; and equal or similar content of different patients; in the order of ids.
    """
    names = sorted(
        name
        for name in rows
        if name in facts and facts[name]["status"] == "accepted" and facts[name].get("perceptual_hash")
    )
    same = grouped(((facts[name]["digest"], facts[name].get("page")), name) for name in names)
    found: dict[tuple[str, str], int | None] = {
        pair: None for images in same.values() for pair in combinations(images, 2)
    }
    found |= _pairs_of_like_content(names, rows, facts)
    originals = _originals(rows)
    return [_describe(pair, found[pair], rows, originals) for pair in sorted(found)]


def find_original(facts: ImageFacts, used: Mapping[str, ImageFacts]) -> str | None:
    """Find the image of a patient that shows what another one shows.

    Parameters
    ----------
    facts
        Facts of the other image.
    used
        Image id to facts of the images so far. Rejected images and those without content are not compared.

    Returns
    -------
    str
        Id of the first with the same bytes, or with the same proportions and at most 4 other bits of 256 in its
        perceptual hash; None where there is none.
    """
    if not _has_content(facts):
        return None
    for name, other in used.items():
        if not _has_content(other):
            continue
        bits = (int(facts.perceptual_hash or "0", 16) ^ int(other.perceptual_hash or "0", 16)).bit_count()
        proportions = facts.width * other.height / (facts.height * other.width)
        alike = bits <= COPY_BITS and abs(proportions - 1) <= ASPECT_TOLERANCE
        if alike or (facts.digest, facts.page) == (other.digest, other.page):
            return name
    return None


def _has_content(facts: ImageFacts) -> bool:
    return facts.status == "accepted" and bool(facts.perceptual_hash)


def check_no_copies(alike: Sequence[AlikeImages]) -> None:
    """Stop where an image stands for two patients.

    Raises
    ------
    NephroscaleError
        With every such pair.
    """
    for fault in find_copies(alike):
        raise fault


def find_copies(alike: Sequence[AlikeImages]) -> list[NephroscaleError]:
    """Give one fault that lists every image that stands for two patients; none where there is no such image."""
    copies = [str(pair) for pair in alike if pair.is_fault]
    if not copies:
        return []
    fault = NephroscaleError(
        "The same image belongs to different patients:\n" + "\n".join(f"  - {copy}" for copy in copies),
        where="table of images",
        fix="Correct the path or the patient of one of the two, or remove its row. If both rows are right, write "
        "the other image's id in the column same_as of one, and the reason in same_as_reason.",
    )
    return [fault]


def _pairs_of_like_content(
    names: Sequence[str], rows: Mapping[str, IdentityRow], facts: Mapping[str, IdentityFacts]
) -> dict[tuple[str, str], int]:
    """Pairs of different patients, with other bytes and the same proportions, to the number of bits that differ."""
    import numpy as np  # late: a job that finds its artifact made imports this module too

    text = "".join(str(facts[name].get("perceptual_hash")) for name in names)
    hashes = np.frombuffer(bytes.fromhex(text), np.uint64).reshape(len(names), BITS // 64)
    aspects = np.array([facts[name]["width"] / facts[name]["height"] for name in names])
    found = {}
    for k, name in enumerate(names[:-1]):
        bits = np.bitwise_count(hashes[k + 1 :] ^ hashes[k]).sum(-1, dtype=np.int64)
        near = (bits <= SIMILAR_BITS) & (np.abs(aspects[k + 1 :] / aspects[k] - 1) <= ASPECT_TOLERANCE)
        for place in np.flatnonzero(near):
            other = names[k + 1 + int(place)]
            if rows[name]["person"] != rows[other]["person"] and facts[name]["digest"] != facts[other]["digest"]:
                found[name, other] = int(bits[place])
    return found


def _describe(
    pair: tuple[str, str], bits: int | None, rows: Mapping[str, IdentityRow], originals: Mapping[str, str]
) -> AlikeImages:
    first, second = (rows[name] for name in pair)
    declared = originals[pair[0]] == originals[pair[1]]
    return AlikeImages(
        images=pair,
        patients=(first["patient"], second["patient"]),
        uses=(first["use"], second["use"]),
        same_patient=first["person"] == second["person"],
        bits=bits,
        reason=(first.get("reason") or second.get("reason")) if declared else None,
    )


def _originals(rows: Mapping[str, IdentityRow]) -> dict[str, str]:
    """Give the images that `same_as` connects, over any number of steps, one common id."""
    found = {name: name for name in rows}
    for name, row in sorted(rows.items()):
        if other := row.get("same_as"):
            new, old = found.setdefault(other, other), found[name]
            found = {image: new if known == old else known for image, known in found.items()}
    return found
