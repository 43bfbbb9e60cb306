"""The plan of a cohort: rows of its tables, and the raw files that these name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nephroscale_demo.fluorescence import FieldPlan
from nephroscale_demo.kidney import SlidePlan
from nephroscale_demo.lesions import LESIONS
from nephroscale_demo.noise import stream
from nephroscale_demo.tables import PATIENT_COLUMNS, ImageRow, InstrumentRow, PatientRow
from nephroscale_demo.tem import MicrographPlan

if TYPE_CHECKING:
    from nephroscale_demo.pictures import Pictures

Plan = SlidePlan | FieldPlan | MicrographPlan


@dataclass(frozen=True)
class Work:
    """One raw file to write, with its side files.

    Attributes
    ----------
    path
        Relative to the cohort's folder.
    plan
        What the image shows.
    vendor
        Slides: `aperio` or `generic`.
    states_scale
        Slides: whether the file states its µm per pixel.
    damage
        Whether the file is cut off in the middle, as a broken copy is.
    truth
        Where to write the true outlines (GeoJSON), relative to the folder.
    """

    path: str
    plan: Plan
    vendor: str = "aperio"
    states_scale: bool = True
    damage: bool = False
    truth: str = ""

    @property
    def files(self) -> list[str]:
        """All files of this work."""
        return [self.path, *([self.truth] if self.truth else [])]


@dataclass(frozen=True)
class Sizes:
    """Sizes of a cohort's images.

    Attributes
    ----------
    slide
        Width and height of a slide, pixels.
    slide_mpp
        µm per pixel of the slides.
    field
        Side of an immunofluorescence field, pixels.
    field_mpp
        µm per pixel of the fields.
    micrograph
        Width and height of a micrograph, pixels.
    """

    slide: tuple[int, int]
    slide_mpp: float
    field: int
    field_mpp: float
    micrograph: tuple[int, int]


@dataclass
class Draft:
    """A cohort: its tables, and the plan of each raw file.

    Attributes
    ----------
    name, seed, sizes
        Name, seed and image sizes of the cohort.
    patients, images, instruments
        Rows of the tables.
    works
        Raw files, in the order of the tables.
    pictures
        Patient id to what the patient's modalities show (`pictures.draw_pictures`); empty where one lesion decides all.
    columns
        Columns of the table of patients.
    """

    name: str
    seed: int
    sizes: Sizes
    patients: list[PatientRow] = field(default_factory=list)
    images: list[ImageRow] = field(default_factory=list)
    instruments: list[InstrumentRow] = field(default_factory=list)
    works: list[Work] = field(default_factory=list)
    pictures: dict[str, Pictures] = field(default_factory=dict)
    columns: tuple[str, ...] = PATIENT_COLUMNS

    def patient(self, row: PatientRow) -> PatientRow:
        """Add a patient, with a random age and sex."""
        random = stream(self.seed, row.patient_id, "person")
        low, high, female = {"IgAN": (19, 55, 0.5), "MN": (35, 75, 0.4), "LN": (16, 50, 0.9)}[row.diagnosis]
        row = replace(row, age=str(random.integers(low, high)), sex="f" if random.uniform() < female else "m")
        self.patients.append(row)
        return row

    def slide(
        self, row: PatientRow, lesion: str, image_id: str, path: str, *, stated: bool = True, damage: bool = False,
        annotated: bool = False, biopsy: str = "", glomeruli: tuple[int, int] = (6, 11), artefact: str = "",
        vendor: str = "aperio",
    ) -> None:  # fmt: skip
        """Add an OM slide. `stated`: the file states the scale; otherwise the table does."""
        random = stream(self.seed, image_id, "plan")
        count = int(random.integers(*glomeruli, endpoint=True))
        sclerosed = int(random.integers(0, 3)) if count > 6 else 0
        width, height = self.sizes.slide
        mpp = self.sizes.slide_mpp
        plan = SlidePlan(
            image_id, self.seed, width, height, mpp, row.site, LESIONS[lesion].pattern, count, sclerosed, artefact
        )
        truth = f"truth/{image_id}.geojson"
        self.images.append(
            ImageRow(
                image_id,
                row.patient_id,
                biopsy,
                "OM",
                stain="PASM",
                path=path,
                mpp="" if stated else f"{mpp:g}",
                annotation=truth if annotated else "",
            )
        )
        self.works.append(Work(path, plan, vendor, stated, damage, "" if damage else truth))

    def field(
        self, row: PatientRow, lesion: str, image_id: str, path: str, *, marker: str = "IgG", biopsy: str = "",
        strength: tuple[float, float] | None = None, plain_scale: bool = True, timed: bool = True,
    ) -> None:  # fmt: skip
        """Add an immunofluorescence field.

        `strength` overrides the strengths that the lesion gives at the two sites. `timed`: the exposure time is known.
        """
        random = stream(self.seed, image_id, "plan")
        staining = LESIONS[lesion].staining.get(marker)
        sampled = (
            (0.01, 0.01)
            if staining is None
            else (random.uniform(*staining.mesangial), random.uniform(*staining.capillary))
        )
        mesangial, capillary = strength or sampled
        exposure = {"north": 100.0, "south": 80.0}[row.site]
        size, mpp = self.sizes.field, self.sizes.field_mpp
        coarse = staining.coarse if staining else 0.0
        plan = FieldPlan(image_id, self.seed, size, mpp, float(mesangial), float(capillary), coarse, exposure)
        grade = sum(max(mesangial, capillary) > limit for limit in (0.06, 0.2, 0.45, 0.7))
        self.images.append(
            ImageRow(
                image_id,
                row.patient_id,
                biopsy,
                "IM",
                marker=marker,
                path=path,
                mpp=f"{mpp:g}" if plain_scale else "",
                roi="whole",
                exposure_ms=f"{exposure:g}" if timed else "auto",
                gain="1" if timed else "",
                grade="0" if grade == 0 else f"{grade}+",
            )
        )
        self.works.append(Work(path, plan))

    def negative(self, row: PatientRow, marker: str, image_id: str) -> None:
        """Add a marker that is negative and therefore has no image."""
        self.images.append(ImageRow(image_id, row.patient_id, modality="IM", marker=marker, grade="0"))

    def micrographs(
        self, row: PatientRow, lesion: str, count: int, folder: str, ending: str, *, biopsy: str = "", prefix: str = ""
    ) -> None:
        """Add a patient's numbered TEM images: capillary loops and mesangial stalks in the lesion's proportion."""
        look = LESIONS[lesion]
        prefix = prefix or row.patient_id
        random = stream(self.seed, prefix, "micrographs")
        stalks = round(count * look.stalk)
        views = random.permutation(["mesangium"] * stalks + ["loop"] * (count - stalks))
        stage = int(random.choice(look.subepithelial))
        width, height = self.sizes.micrograph
        for number, view in enumerate(views.tolist(), start=1):
            image_id = f"{prefix}-TEM{number}"
            instrument = next((i for i in self.instruments if i.instrument.lower().startswith(row.site)), None)
            choices = [i for i in self.instruments if instrument and i.instrument == instrument.instrument]
            chosen = choices[int(random.integers(len(choices)))] if choices else None
            nm_per_px = float(chosen.nm_per_px) if chosen else float(random.choice([7.0, 8.0, 9.0]))
            magnification = (
                int(chosen.magnification.strip("x").replace(",", ""))
                if chosen
                else round(64000 / nm_per_px / 500) * 500
            )
            plan = MicrographPlan(
                image_id,
                self.seed,
                width,
                height,
                nm_per_px,
                view,
                subepithelial=int(random.choice(look.subepithelial)) if look.varied else stage,
                subendothelial=_amount(random, look.subendothelial),
                mesangial=_amount(random, look.mesangial),
                inclusions=look.inclusions and bool(random.uniform() < 0.6),
                magnification=magnification,
                label=f"{row.patient_id}--{number:04d}",
                style="strip" if row.site == "north" else "overlay",
            )
            path = f"{folder}/{image_id}{ending}"
            scale: dict[str, Any] = (
                {"instrument": chosen.instrument, "magnification": chosen.magnification}
                if chosen
                else {"nm_per_px": f"{nm_per_px:g}"}
            )
            truth = f"truth/{image_id}.geojson"
            self.images.append(
                ImageRow(
                    image_id,
                    row.patient_id,
                    biopsy,
                    "TEM",
                    path=path,
                    **scale,
                    deposits=";".join(plan.deposit_sites) or "0",
                    deposit_outlines=truth,
                )
            )
            self.works.append(Work(path, plan, truth=truth))


def _amount(random: Any, span: tuple[float, float]) -> float:
    return round(float(random.uniform(*span)), 3) if span[1] > 0 else 0.0
