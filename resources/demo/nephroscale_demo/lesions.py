"""The appearance of each subtype in each modality: the table from which the cohorts are generated."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Staining:
    """Immunofluorescence of one marker.

    Attributes
    ----------
    mesangial, capillary
        Least and largest strength at the site, 0 to 1.
    coarse
        0 for fine granules to 1 for coarse clumps.
    """

    mesangial: tuple[float, float] = (0.0, 0.02)
    capillary: tuple[float, float] = (0.0, 0.02)
    coarse: float = 0.0


@dataclass(frozen=True)
class Lesion:
    """The appearance of a subtype.

    Attributes
    ----------
    diagnosis
        Its class.
    pattern
        Key of `section.PATTERNS`.
    staining
        Immunofluorescence by marker; markers not listed are negative.
    subepithelial
        Stages of subepithelial deposits that occur (see `tem.MicrographPlan`).
    subendothelial, mesangial
        Least and largest amount of deposits at these sites.
    inclusions
        Whether tubuloreticular inclusions are seen.
    stalk
        Share of the micrographs that show mesangium.
    varied
        Whether the stage varies between a patient's micrographs; otherwise all have the same stage.
    """

    diagnosis: str
    pattern: str
    staining: dict[str, Staining]
    subepithelial: tuple[int, ...] = (0,)
    subendothelial: tuple[float, float] = (0.0, 0.0)
    mesangial: tuple[float, float] = (0.0, 0.0)
    inclusions: bool = False
    stalk: float = 0.5
    varied: bool = False


def _full_house(mesangial: tuple[float, float], capillary: tuple[float, float], coarse: float) -> dict[str, Staining]:
    return {marker: Staining(mesangial, capillary, coarse) for marker in ("IgA", "IgG", "IgM", "C3", "C1q")}


def _membranous(stage: int, pattern: str) -> Lesion:
    fine = Staining((0.0, 0.03), (0.55, 0.85))
    return Lesion(
        "MN", pattern, {"IgG": fine, "C3": Staining((0.0, 0.03), (0.2, 0.5))}, subepithelial=(stage,), stalk=0.12
    )


_STRONG_IGA = {"IgA": Staining((0.55, 0.85)), "C3": Staining((0.25, 0.5)), "IgM": Staining((0.03, 0.12))}

LESIONS = {
    # IgG is nearly co-dominant where the mesangium is near normal, and weak where it is expanded.
    "IgAN-M0": Lesion(
        "IgAN", "normal", {**_STRONG_IGA, "IgG": Staining((0.24, 0.44))}, mesangial=(0.7, 1.0), stalk=0.75
    ),
    "IgAN-M1": Lesion(
        "IgAN", "mesangial", {**_STRONG_IGA, "IgG": Staining((0.04, 0.10))}, mesangial=(0.7, 1.0), stalk=0.75
    ),
    "MN-I": _membranous(1, "normal"),
    "MN-II": _membranous(2, "spikes"),
    "MN-III": _membranous(3, "chains"),
    # Stage IV: the deposits are resorbed; the membrane is thick and rarefied in their place.
    "MN-IV": _membranous(4, "chains"),
    # Between two stages: some loops show the first, some the second.
    "MN-I-II": replace(_membranous(1, "spikes"), subepithelial=(1, 2), varied=True),
    "LN-IV": Lesion(
        "LN",
        "endocapillary",
        _full_house((0.6, 0.85), (0.55, 0.8), 0.9),
        subendothelial=(0.7, 1.0),
        mesangial=(0.7, 1.0),
        inclusions=True,
    ),
    # Class V with many micrographs of the mesangium but little mesangial IgG.
    "LN-V": Lesion(
        "LN",
        "spikes",
        _full_house((0.03, 0.09), (0.55, 0.85), 0.0),
        subepithelial=(1, 2),
        mesangial=(0.9, 1.0),
        inclusions=True,
        stalk=0.85,
    ),
}
