"""The synthetic cohorts: their patients, and the images of each patient."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nephroscale_demo.draft import Draft, Sizes
from nephroscale_demo.lesions import LESIONS
from nephroscale_demo.noise import stream
from nephroscale_demo.pictures import CLASSES, SHARES, TYPICAL, draw_pictures
from nephroscale_demo.tables import PATIENT_COLUMNS, InstrumentRow, PatientRow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Vendor format and ending of the slides, and ending of the micrographs, by site.
SLIDES = {"north": ("aperio", ".svs"), "south": ("generic", ".tif")}
MICROGRAPHS = {"north": ".tif", "south": ".png"}
INSTRUMENTS = [
    InstrumentRow("north TEM, side camera", "7000", "9.1"),
    InstrumentRow("north TEM, side camera", "8000", "8"),
    InstrumentRow("north TEM, side camera", "10,000x", "6.4"),
]

SITES = ("north", "south")
SCANNERS = {"north": "scanner A", "south": "scanner B"}


VARIANTS = ("no-signal", "shortcut", "duplicates")
"""Variants of the demo: diagnoses permuted among the patients; lupus nephritis mostly at the southern site, and all
else at the northern one; three patients who occur a second time under another id."""


def make_cohort(name: str, variant: str | None = None) -> Draft:
    """Lay out a cohort: its tables and the plan of each image. No image is generated yet.

    Parameters
    ----------
    name
        One of `COHORTS`.
    variant
        For `demo`, one of `VARIANTS`; None for the cohort itself.

    Raises
    ------
    ValueError
        For any other name or variant.
    """
    if name not in COHORTS:
        raise ValueError(f"There is no cohort {name!r}. Choose one of {', '.join(COHORTS)}.")
    if variant is None:
        return COHORTS[name]()
    if name != "demo" or variant not in VARIANTS:
        raise ValueError(f"There is no variant {variant!r} of {name}. The cohort demo has {', '.join(VARIANTS)}.")
    draft = _demo(shortcut=variant == "shortcut")
    draft.name = f"demo-{variant}"
    if variant == "no-signal":
        _permute_diagnoses(draft)
    elif variant == "duplicates":
        _duplicate(draft, 3)
    return draft


def _permute_diagnoses(draft: Draft) -> None:
    """Permute the diagnoses in the table of patients; the images stay."""
    places = [place for place, row in enumerate(draft.patients) if row.use == "diagnosis"]
    order = stream(draft.seed, "no signal").permutation(places)
    given = [(draft.patients[place].diagnosis, draft.patients[place].subtype) for place in order]
    for place, (diagnosis, subtype) in zip(places, given, strict=True):
        draft.patients[place] = replace(draft.patients[place], diagnosis=diagnosis, subtype=subtype)


def _duplicate(draft: Draft, count: int) -> None:
    """Add the first patients again under another id, with files of the same bytes."""
    works = {work.plan.image_id: work for work in draft.works}
    for row in [row for row in draft.patients if row.use == "diagnosis"][:count]:
        draft.patients.append(replace(row, patient_id=f"C{row.patient_id}"))
        for image in [image for image in draft.images if image.patient_id == row.patient_id]:
            work, name = works[image.image_id], f"C{image.image_id}"
            truth = f"truth/{name}.geojson" if work.truth else ""
            copy = replace(work, path=f"copies/{work.path}", truth=truth)
            outlines = truth if image.deposit_outlines else ""
            draft.works.append(copy)
            draft.images.append(
                replace(
                    image,
                    image_id=name,
                    patient_id=f"C{row.patient_id}",
                    path=copy.path,
                    deposit_outlines=outlines,
                )
            )


def _row(number: int, lesion: str, site: str, *, use: str = "diagnosis") -> PatientRow:
    return PatientRow(
        f"P{number:02d}", LESIONS[lesion].diagnosis, use, site=site, scanner=SCANNERS[site], subtype=lesion
    )


def _tiny() -> Draft:
    """Six patients to diagnose and two for segmentation only, with small images and no faults."""
    draft = Draft("tiny", 1, Sizes((2048, 1024), 1.0, 512, 0.5, (512, 416)))
    for number, lesion in enumerate(["IgAN-M1", "IgAN-M0", "MN-II", "MN-III", "LN-IV", "LN-IV"], start=1):
        row = draft.patient(_row(number, lesion, SITES[number % 2]))
        draft.slide(row, lesion, f"{row.patient_id}-OM", f"om/{row.patient_id}.svs", glomeruli=(4, 5))
        draft.field(row, lesion, f"{row.patient_id}-IgG", f"im/{row.patient_id}-IgG.tif")
        draft.micrographs(row, lesion, 4 + number % 2, "tem", ".png")
    _set_apart(draft, 7, ["IgAN-M0", "LN-V"], glomeruli=(5, 6))
    return draft


def _set_apart(draft: Draft, first: int, lesions: list[str], glomeruli: tuple[int, int]) -> None:
    """Add patients with annotated slides, used for segmentation only."""
    for number, lesion in enumerate(lesions, start=first):
        row = draft.patient(_row(number, lesion, SITES[number % 2], use="segmentation"))
        path = f"om/{row.patient_id}{SLIDES[row.site][1]}"
        draft.slide(
            row, lesion, f"{row.patient_id}-OM", path, annotated=True, glomeruli=glomeruli, vendor=SLIDES[row.site][0]
        )


DEMO = dict.fromkeys(CLASSES, 12)
DRAW = 22
"""Seed of what the modalities show: one with which the cohort's own ceilings are near those of new patients."""

# Irregularities of real cohorts, by diagnosis and index among the patients with that diagnosis.
ODDITIES = {
    ("IgAN", 1): "Chinese file name",
    ("IgAN", 2): "pen",
    ("IgAN", 7): "scale in the table only",
    ("IgAN", 10): "blur",
    ("MN", 0): "spaces and braces",
    ("MN", 4): "two slides",
    ("MN", 9): "two micrographs",
    ("MN", 10): "blur",
    ("LN", 0): "pen",
    ("LN", 5): "two biopsies",
}


def _demo(*, shortcut: bool = False) -> Draft:
    """Forty-four patients of two sites.

    Thirty-six can be diagnosed, two cannot (a corrupt slide, no micrographs), one is excluded, and five are for
    segmentation only.
    """
    draft = Draft("demo", 11, Sizes((6144, 2048), 0.5, 512, 0.5, (640, 520)), instruments=INSTRUMENTS)
    people: list[tuple[str, str, str]] = []
    for diagnosis, count in DEMO.items():
        people += [(diagnosis, SITES[(len(people) + n) % 2], ODDITIES.get((diagnosis, n), "")) for n in range(count)]
    people += [("IgAN", "south", "corrupt slide"), ("LN", "north", "no micrographs")]
    if shortcut:  # every tenth patient is of the other site
        south = [(diagnosis == "LN") != (place % 10 == 0) for place, (diagnosis, *_) in enumerate(people)]
        people = [(diagnosis, SITES[at], oddity) for at, (diagnosis, _, oddity) in zip(south, people, strict=True)]
    order = stream(draft.seed, "order").permutation(len(people))
    for number, place in enumerate(order.tolist(), start=1):
        diagnosis, site, oddity = people[place]
        row = draft.patient(replace(_row(number, TYPICAL[diagnosis], site), subtype=""))
        pictures = draft.pictures[row.patient_id] = draw_pictures(DRAW, row.patient_id, diagnosis)
        _photograph(draft, row, {modality: TYPICAL[shown] for modality, shown in pictures.items()}, oddity)
    left_out = replace(
        _row(len(people) + 1, "IgAN-M0", "north", use="exclude"), reason="biopsy of a transplanted kidney"
    )
    _photograph(draft, draft.patient(left_out), dict.fromkeys(SHARES, "IgAN-M0"), "two micrographs")
    _set_apart(draft, len(people) + 2, ["IgAN-M0", "IgAN-M1", "MN-II", "MN-III", "LN-IV"], glomeruli=(8, 11))
    return draft


def _photograph(draft: Draft, row: PatientRow, lesions: Mapping[str, str], oddity: str) -> None:
    """Add a patient's images, of a lesion for each modality, with their irregularity if any."""
    name = row.patient_id
    vendor, ending = SLIDES[row.site]
    slide, field = f"om/{name}{ending}", f"im/{name}-IgG.tif"
    options: dict[str, Any] = {"vendor": vendor}
    if oddity == "Chinese file name":
        slide = f"om/肾穿刺活检 六胺银染色 {name}{ending}"
    elif oddity == "spaces and braces":
        slide, field = f"om/second batch {{rescan}}/{name} [PASM] 'x20'{ending}", f"im/{name} {{IgG}} field.tif"
    elif oddity in {"pen", "blur"}:
        options["artefact"] = oddity
    elif oddity == "scale in the table only":
        options |= {"vendor": "generic", "stated": False}
        slide = f"om/{name}.tif"
    elif oddity == "corrupt slide":
        options["damage"] = True
    for biopsy in ("B1", "B2") if oddity == "two biopsies" else ("",):
        tag = f"{name}-{biopsy}" if biopsy else name
        path = slide.replace(name, tag)
        draft.slide(row, lesions["OM"], f"{tag}-OM", path, biopsy=biopsy, **options)
        if oddity == "two slides":
            draft.slide(row, lesions["OM"], f"{tag}-OM2", path.replace(name, f"{name}-2"), **options)
        draft.field(row, lesions["IM"], f"{tag}-IgG", field.replace(name, tag), biopsy=biopsy)
        if oddity != "no micrographs":
            count = int(stream(draft.seed, tag, "count").integers(4, 8, endpoint=True))
            count = 2 if oddity == "two micrographs" else count
            draft.micrographs(
                row, lesions["TEM"], count, f"tem/{tag}", MICROGRAPHS[row.site], biopsy=biopsy, prefix=tag
            )


def _demo_panel() -> Draft:
    """Six patients with the full marker panel and two for segmentation only.

    One lupus nephritis has no full house and one IgA nephropathy has C1q, so the markers alone mislead.
    """
    draft = Draft("demo_panel", 21, Sizes((4096, 2048), 0.5, 512, 0.5, (640, 520)), instruments=INSTRUMENTS)
    lesions = ["IgAN-M1", "IgAN-M0", "MN-I", "MN-II", "LN-IV", "LN-V"]
    for number, lesion in enumerate(lesions, start=1):
        row = draft.patient(_row(number, lesion, SITES[number % 2]))
        vendor, ending = SLIDES[row.site]
        draft.slide(row, lesion, f"{row.patient_id}-OM", f"om/{row.patient_id}{ending}", vendor=vendor)
        for marker in PANEL:
            strength = EXCEPTIONS.get((row.patient_id, marker))
            image_id = f"{row.patient_id}-{marker}"
            if (row.patient_id, marker) in NOT_TAKEN:
                continue
            if strength is None and marker not in LESIONS[lesion].staining:
                draft.negative(row, marker, image_id)
            else:
                draft.field(row, lesion, image_id, f"im/{image_id}.tif", marker=marker, strength=strength)
        draft.micrographs(row, lesion, 4 + number % 3, f"tem/{row.patient_id}", MICROGRAPHS[row.site])
    _set_apart(draft, 7, ["IgAN-M0", "LN-V"], glomeruli=(6, 8))
    return draft


# Patients to stage, by lesion. As in real cohorts, some labels are between two stages and one stage is rare.
STAGES = {"MN-I": 9, "MN-II": 9, "MN-III": 8, "MN-I-II": 3, "MN-IV": 2}
EXTERNAL = {"MN-I": 2, "MN-II": 2, "MN-III": 2}


def _mn_stage() -> Draft:
    """Thirty-one patients with membranous nephropathy, six external ones, and three for segmentation only."""
    sizes = Sizes((2048, 1024), 1.0, 512, 0.5, (640, 520))
    draft = Draft("mn_stage", 31, sizes, instruments=INSTRUMENTS, columns=(*PATIENT_COLUMNS, "mn_stage"))
    people = [(lesion, "diagnosis") for lesion, count in STAGES.items() for _ in range(count)]
    order = stream(draft.seed, "order").permutation(len(people))
    people = [people[place] for place in order.tolist()]
    people += [(lesion, "external") for lesion, count in EXTERNAL.items() for _ in range(count)]
    several = next(n for n, (lesion, _) in enumerate(people) if lesion == "MN-II")
    for number, (lesion, use) in enumerate(people, start=1):
        site = SITES[number % 2]
        row = draft.patient(_staged(_row(number, lesion, site, use=use)))
        for biopsy in ("B1", "B2") if number - 1 == several else ("",):
            _photograph_small(draft, row, lesion, biopsy=biopsy)
    _set_apart(draft, len(people) + 1, ["MN-I", "MN-II", "MN-III"], glomeruli=(5, 6))
    return draft


def _staged(row: PatientRow) -> PatientRow:
    """Add the stage of membranous nephropathy to a patient."""
    return replace(row, mn_stage=row.subtype.removeprefix("MN-"))


def _photograph_small(
    draft: Draft, row: PatientRow, lesion: str, *, biopsy: str = "", timed: bool = True, micrographs: bool = True
) -> None:
    """Add small images of a biopsy: a section, a field of IgG, micrographs."""
    tag = f"{row.patient_id}-{biopsy}" if biopsy else row.patient_id
    draft.slide(row, lesion, f"{tag}-OM", f"om/{tag}.svs", biopsy=biopsy, glomeruli=(4, 5))
    draft.field(row, lesion, f"{tag}-IgG", f"im/{tag}-IgG.tif", biopsy=biopsy, timed=timed)
    if micrographs:
        count = int(stream(draft.seed, tag, "count").integers(4, 6, endpoint=True))
        draft.micrographs(row, lesion, count, f"tem/{tag}", MICROGRAPHS[row.site], biopsy=biopsy, prefix=tag)


def _new() -> Draft:
    """Three patients without labels: one complete, one with an unknown exposure time in IM, one without TEM."""
    columns = ("patient_id", "site", "age", "sex")
    draft = Draft("new", 41, Sizes((2048, 1024), 1.0, 512, 0.5, (512, 416)), columns=columns)
    for number, lesion in enumerate(["MN-II", "MN-III", "MN-I"], start=1):
        row = _row(number, lesion, SITES[number % 2])
        row = draft.patient(replace(row, patient_id=f"N{number:02d}"))
        _photograph_small(draft, row, lesion, timed=number != 2, micrographs=number != 3)
    return draft


PANEL = ("IgA", "IgG", "IgM", "C3", "C1q")

# Mesangial and capillary strength of patients that differ from the usual staining of their lesion.
EXCEPTIONS = {
    ("P01", "C1q"): (0.35, 0.01),
    ("P06", "IgA"): (0.01, 0.01),
    ("P06", "IgM"): (0.02, 0.01),
}

# Missing: not photographed, and not known to be negative.
NOT_TAKEN = {("P03", "IgM")}

COHORTS: dict[str, Callable[[], Draft]] = {
    "tiny": _tiny,
    "demo": _demo,
    "demo_panel": _demo_panel,
    "mn_stage": _mn_stage,
    "new": _new,
}
