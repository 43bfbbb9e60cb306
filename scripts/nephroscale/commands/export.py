"""Commands that write results for other programs and people: `export-report`, `checklist`, `export-h5`, `qupath`."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from nephroscale.commands.run import Commands, open_plan
from nephroscale.engine.plan import Plan
from nephroscale.errors import NephroscaleError


def add(commands: Commands) -> None:
    """Add the commands to the parser."""
    report = commands.add_parser(
        "export-report", help="write the report, its figures and tables into one zip file", run=write_report_archive
    )
    report.add_argument("out", type=Path, metavar="OUT.zip", help="file to write")
    report.add_argument("--report", type=Path, metavar="FOLDER", help="report folder (default: the last report)")
    checklist = commands.add_parser(
        "checklist", help="fill CLAIM, TRIPOD+AI and STARD-AI from the report, for a paper", run=write_checklists
    )
    checklist.add_argument("out", type=Path, metavar="FOLDER", help="folder to create")
    h5 = commands.add_parser("export-h5", help="write bags of features as h5 for CLAM or TRIDENT", run=export_bags)
    h5.add_argument(
        "features", type=Path, nargs="?", metavar="BAG", help="one bag, such as results/features/P001-TEM.zarr"
    )
    h5.add_argument("out", type=Path, nargs="?", metavar="FILE", help="h5 file to write")
    h5.add_argument("--all", type=Path, metavar="FOLDER", help="write the bags of the whole cohort to a new folder")
    h5.add_argument("--per", choices=("slide", "patient"), default="patient", help="with --all, one file for each")
    qupath = commands.add_parser(
        "qupath", help="write the outlines of glomeruli, and QuPath scripts to correct them", run=write_outlines
    )
    qupath.add_argument("out", type=Path, metavar="FOLDER", help="folder to create, such as one in a QuPath project")


def write_report_archive(options: argparse.Namespace) -> None:
    """Write the report as a zip file."""
    from nephroscale.reporting.export_report import export_report

    report = options.report or open_plan(options).results / "report"
    print(f"{options.out}: {len(export_report(report, options.out))} files")


def write_checklists(options: argparse.Namespace) -> None:
    """Write the checklists, a paragraph of methods and the references."""
    import json
    import os

    from nephroscale import __version__
    from nephroscale.reporting.checklist import Study, write_checklist

    plan, out = open_plan(options), options.out
    report = plan.results / "report" / "metrics.json"
    if not report.is_file() or out.exists():
        raise NephroscaleError(
            "This folder exists." if out.exists() else "There is no report.",
            where=str(out if out.exists() else report),
            fix="Name a new folder." if out.exists() else "Run the target `report`.",
        )
    study = Study(
        metrics=json.loads(report.read_text(encoding="utf-8")),
        normalisation=_count_normalisations(plan),
        missing_modalities=plan.config.task.missing_modalities,
        segmenter=bool(plan.units("segmenter") or plan.units("segmenter_im")),
        version=__version__,
    )
    up = Path(os.path.relpath(plan.results.resolve(), out.resolve())).as_posix()
    for name, count in write_checklist(study, out, up).items():
        print(f"{name}: {count} items to write yourself")
    print(f"Checklists: {out / 'index.html'}")


def _count_normalisations(plan: Plan) -> dict[str, int]:
    """Count the slides by the method that normalised their stains."""
    receipts = (plan.receipt("tiles", unit) for unit in plan.study_units("tiles"))
    methods = (str(found.figures["normalisation"]) for found in receipts if found and "normalisation" in found.figures)
    return dict(Counter(methods).most_common())


def export_bags(options: argparse.Namespace) -> int:
    """Write one bag, or those of the whole cohort, as h5."""
    from nephroscale.features.export_h5 import export_h5

    single, cohort = options.features is not None, options.all is not None
    if single == cohort or (single and options.out is None):
        raise NephroscaleError(
            "It is not clear what to export.", where="export-h5", fix="Name a bag and a file, or --all FOLDER."
        )
    if single:
        figures = export_h5(options.features, options.out)
        print(f"{options.out}: {figures['instances']} instances of {figures['channels']} channels")
        return 0
    files = _export_cohort(open_plan(options), options.all, per_slide=options.per == "slide")
    print(f"{options.all}: {files} files, in a folder for each modality")
    return 0


def _export_cohort(plan: Plan, out: Path, *, per_slide: bool) -> int:
    """Write the bag of each patient or slide to `<modality>/<id>.h5`; give the number of files."""
    from nephroscale.features.export_h5 import export_h5, images_of
    from nephroscale.stages.units import PatientModality

    if out.exists():
        raise NephroscaleError("This folder exists.", where=str(out), fix="Name a new folder.")
    bags = {unit: path for unit in plan.units("features") if (path := plan.object_path("features", unit))}
    if not bags:
        raise NephroscaleError("There are no features yet.", where=str(plan.results), fix="Run the target `features`.")
    files = 0
    for unit, bag in bags.items():
        patient, modality = PatientModality.parse(unit)
        (out / modality).mkdir(parents=True, exist_ok=True)
        images = images_of(bag)
        sides = {image: side for image in images if (side := _crop_side(plan, image))}
        for name, image in ((image, image) for image in images) if per_slide else [(patient, None)]:
            export_h5(bag, out / modality / f"{name}.h5", image=image, sides=sides)
            files += 1
    return files


def _crop_side(plan: Plan, image: str) -> float | None:
    """Side of an image's glomerulus crops in raw pixels; None where crops have no fixed size."""
    from nephroscale.arrays import read_array, read_attributes
    from nephroscale.slides.tile_reader import open_tiles

    glomeruli, tiles = (plan.object_path(stage, image) for stage in ("glomeruli", "tiles"))
    if glomeruli is None or tiles is None:
        return None
    opened, um_per_px = open_tiles(tiles), read_attributes(glomeruli / "crops")["um_per_px"]
    if um_per_px is None or opened.mpp is None:
        return None
    side: float = read_array(glomeruli / "crops", "crops").shape[1] * um_per_px / opened.mpp * opened.raw_px[0]
    return side


def write_outlines(options: argparse.Namespace) -> None:
    """Write the outlines of all slides, and the scripts, to a folder for QuPath."""
    from nephroscale.glomeruli.qupath import OutlinedSlide, write_qupath

    plan = open_plan(options)
    slides: Mapping[str, OutlinedSlide] = {
        image: OutlinedSlide(plan.cohort.images[image].path, path / "glomeruli.geojson")
        for image in plan.units("glomeruli")
        if (path := plan.object_path("glomeruli", image))
    }
    if not slides:
        raise NephroscaleError("There are no outlines yet.", where=str(plan.results), fix="Run the target `glomeruli`.")
    write_qupath(slides, options.out)
    print(f"{options.out}: outlines of {len(slides)} slides and fields, load_outlines.groovy, save_outlines.groovy")
