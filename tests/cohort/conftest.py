"""Small cohorts to read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nephroscale.cohort.cohort import Cohort
from nephroscale.cohort.patient import PatientRow
from nephroscale.engine.config import load_config
from nephroscale.errors import NephroscaleError
from support.cohort import load_tables

CLASSES = {"IgA nephropathy": "IgAN", "MN": "MN", "LN IV": "LN", "LN V": "LN", "IgAN+MN": "exclude", "?": "ambiguous"}
PATIENTS = """patient_id,diagnosis,use,reason,group,site,scanner,age
A1,IgA nephropathy,,,,north,X,31
A2,IgA nephropathy,,,F1,south,X,
M1,MN,,,F1,north,,
M2,MN,diagnosis,,,south,,
L1,LN IV,,,,north,,
L2,LN V,,,,south,,
"""
IMAGES = """image_id,patient_id,modality,stain,marker,path
A1-OM,A1,OM,PAS,,a1.svs
A1-T2,A1,TEM,,,a1-2.tif
A1-T1,A1,TEM,,,a1-1.tif
M1-IM,M1,IM,,IgG,m1.tif
"""


class Tables:
    """Writes tables into a folder and reads them back as a cohort."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.patients: str | bytes = PATIENTS
        self.images: str | bytes = IMAGES
        self.instruments: str | bytes | None = None
        self.readers: str | bytes | None = None
        self.more: dict[str, Any] = {}
        self.task: dict[str, Any] = {}

    def config(self) -> dict[str, Any]:
        data = {"root": str(self.folder)}
        for name in ("patients", "images", "instruments", "readers"):
            content = getattr(self, name)
            if content is not None:
                path = self.folder / f"{name}.csv"
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
                data[name] = str(path)
        return load_config(
            {"data": data, "task": {"classes": CLASSES, **self.task}, "folds": {"n_folds": 2}, **self.more}
        ).to_mapping()

    def load(self, check_files: bool = False) -> Cohort:
        return load_tables(self.config(), check_files=check_files)

    def errors(self, check_files: bool = False) -> list[str]:
        """The errors reported, without the folder's name."""
        config = self.config()
        with pytest.raises(NephroscaleError) as raised:
            load_tables(config, check_files=check_files)
        lines = raised.value.what.splitlines()[1:]
        return [line.removeprefix("  - ").replace(f"{self.folder}/", "") for line in lines]

    def image(self, **cells: str) -> None:
        """Replace the images by one row."""
        row = {"image_id": "I1", "patient_id": "A1", "modality": "TEM", "path": "i1.tif"} | cells
        self.images = ",".join(row) + "\n" + ",".join(f'"{cell}"' for cell in row.values()) + "\n"


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path)


@pytest.fixture
def roster() -> Callable[..., list[PatientRow]]:
    """Makes patients for folds: how many of each class, at which sites, in which groups."""

    def make(
        counts: dict[str, int], sites: tuple[str, ...] = ("north", "south"), **groups: list[str]
    ) -> list[PatientRow]:
        group_of = {name: group for group, names in groups.items() for name in names}
        return [
            PatientRow(
                id=f"{label}{number}",
                label=label,
                site=sites[number % len(sites)],
                group=group_of.get(f"{label}{number}"),
            )
            for label, count in counts.items()
            for number in range(count)
        ]

    return make
