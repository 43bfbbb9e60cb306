"""The three cohorts: who is in them and what was photographed of whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nephroscale.demo.draft import Draft, Sizes
from nephroscale.demo.lesions import LESIONS
from nephroscale.demo.tables import PatientRow
from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Callable

SITES = ("north", "south")
SCANNERS = {"north": "scanner A", "south": "scanner B"}


def make_cohort(name: str) -> Draft:
    """Lay out a cohort; nothing is drawn yet.

    Parameters
    ----------
    name
        `tiny`, `demo` or `demo_panel`.

    Raises
    ------
    NephroscaleError
        For any other name.
    """
    if name not in COHORTS:
        raise NephroscaleError(f"There is no cohort {name!r}.", todo=f"Name one of {', '.join(COHORTS)}.")
    return COHORTS[name]()


def _row(number: int, lesion: str, *, use: str = "diagnosis") -> PatientRow:
    site = SITES[number % 2]
    subtype = lesion.removesuffix("-loop")
    return PatientRow(
        f"P{number:02d}", LESIONS[lesion].diagnosis, use, site=site, scanner=SCANNERS[site], subtype=subtype
    )


def _tiny() -> Draft:
    """Six patients to diagnose and two set apart, with small images and nothing wrong."""
    draft = Draft("tiny", 1, Sizes((2048, 1024), 1.0, 512, 0.5, (512, 416)))
    for number, lesion in enumerate(["IgAN-M1", "IgAN-M0", "MN-II", "MN-III", "LN-IV", "LN-IV"], start=1):
        row = draft.patient(_row(number, lesion))
        draft.slide(row, lesion, f"{row.patient_id}-OM", f"om/{row.patient_id}.svs", glomeruli=(4, 5))
        draft.field(row, lesion, f"{row.patient_id}-IgG", f"im/{row.patient_id}-IgG.tif")
        draft.micrographs(row, lesion, 4 + number % 2, "tem", ".png")
    for number, lesion in enumerate(["IgAN-M0", "LN-V"], start=7):
        row = draft.patient(_row(number, lesion, use="segmentation"))
        draft.slide(row, lesion, f"{row.patient_id}-OM", f"om/{row.patient_id}.svs", glomeruli=(5, 6), annotated=True)
    return draft


COHORTS: dict[str, Callable[[], Draft]] = {"tiny": _tiny}
