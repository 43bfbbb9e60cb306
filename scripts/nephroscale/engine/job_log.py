"""The log of a job, without names of raw files. A full disk does not stop the job."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from nephroscale.cohort.cohort import Cohort
from nephroscale.cohort.image import Image
from nephroscale.slides.raw import DICOM
from nephroscale.store.disk import is_full_disk


class PathRedactor:
    """Puts ``<image_id>`` in the place of a raw file's path, its name, and its name without suffix.

    Ids of the tables stay, also where they contain such a name. So do names that do not identify a patient: those of a
    stain or marker (`PASM.svs`), and those that files of several patients have (`1.png`, `slide.tif`); only the whole
    path of these is replaced.

    Parameters
    ----------
    cohort
        Whose raw files are not to be named.
    read
        The images that the job reads: of these also the files that links lead to, and DICOM files beside them.
    """

    def __init__(self, cohort: Cohort, read: Iterable[Image] = ()) -> None:
        self._cohort, self._read = cohort, list(read)

    @cached_property
    def _files(self) -> list[tuple[tuple[str, ...], Path, str]]:
        """Each file, the word that a text about it must contain, and the id of its image."""
        named = [
            (path, image.id)
            for image in self._cohort.images.values()
            for path in (image.path, image.annotation)
            if path
        ]
        read = ((path, image.id) for image in self._read for path in (image.path, image.annotation) if path)
        named += [(path, image_id) for listed, image_id in read for path in _around(listed)]
        return [(tuple(_forms(path.stem)), path, image) for path, image in named]

    @cached_property
    def _ids(self) -> set[str]:
        patients = self._cohort.patients
        return {*patients, *self._cohort.images, *(each.person for each in patients.values() if each.person)}

    @cached_property
    def _common(self) -> set[str]:
        """Names of files, with and without suffix, that do not tell whose they are."""
        images = self._cohort.images
        kinds = {word for image in images.values() for word in (image.stain, image.marker, image.modality)}
        owners: dict[str, dict[Path, str]] = {}
        for _, path, image_id in self._files:
            for name in (path.name, path.stem):
                owners.setdefault(name, {})[path] = images[image_id].patient_id
        several = {name for name, files in owners.items() if len(set(files.values())) > 1 and len(files) > 1}
        return several | {name for name in owners if Path(name).stem in kinds}

    def __call__(self, text: str) -> str:
        """The text without the names."""
        wanted: dict[str, str] = {}
        for stems, path, image in self._files:
            if any(stem in text for stem in stems):
                names = [str(path), os.path.abspath(path)]  # noqa: PTH100  (follows no link)
                if path.name not in self._common:
                    names.append(path.name)
                if path.stem not in self._ids | self._common and not re.fullmatch("[0-9]{1,3}", path.stem):
                    names.append(path.stem)
                for form in (form for name in names for form in _forms(name)):
                    wanted.setdefault(form, image)
        if not wanted:
            return text
        kept = {name for name in self._ids if name in text} - wanted.keys()  # `Case-02-A` of the file `A.svs` is an id
        either = "|".join(re.escape(name) for name in sorted(wanted.keys() | kept, key=len, reverse=True))
        return re.sub(
            rf"(?<![^\W_])(?:{either})(?![^\W_])",
            lambda match: match[0] if match[0] in kept else f"<{wanted[match[0]]}>",
            text,
        )


def _forms(name: str) -> list[str]:
    """A name as it is, and as Python quotes it in its errors."""
    return list(dict.fromkeys([name, repr(name)[1:-1]]))


def _around(path: Path) -> Iterator[Path]:
    yield Path(os.path.realpath(path))
    folder = path if path.is_dir() else path.parent if path.suffix.lower() in DICOM else None
    if folder:
        with suppress(OSError):
            yield from (file for file in folder.iterdir() if file.suffix.lower() in DICOM)


class JobLog(io.TextIOWrapper):
    """A job's log, written line by line. If the disk is full, lines are lost, and the job continues.

    Parameters
    ----------
    path
        The file.

    Attributes
    ----------
    redact
        What every text passes through; None as long as the cohort is not known.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stream = path.open("wb")
        except OSError as error:
            if not is_full_disk(error):
                raise
            stream = Path(os.devnull).open("wb")  # noqa: SIM115  (closed with the log)
        super().__init__(stream, encoding="utf-8", errors="backslashreplace", line_buffering=True)
        self.redact: PathRedactor | None = None

    def redacted(self, text: str) -> str:
        """A text as the log would have it."""
        return self.redact(text) if self.redact else text

    def write(self, text: str) -> int:
        """Write a text, if the disk has space."""
        with suppress(OSError):
            super().write(self.redacted(text))
        return len(text)

    def flush(self) -> None:
        """Write buffered text, if the disk has space."""
        with suppress(OSError):
            super().flush()

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            super().close()
