"""The command `init`: tables, configuration and Snakefile of a new study, from a folder of images."""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import re
import shlex
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from nephroscale.cohort.columns import fold_column
from nephroscale.cohort.file_names import NamedParts, compile_pattern, make_id, make_unique, parse_path
from nephroscale.cohort.reading import Table, clean, read_table
from nephroscale.cohort.schemas import read_schema
from nephroscale.cohort.validation_errors import ValidationErrors
from nephroscale.commands.run import Commands
from nephroscale.errors import NephroscaleError
from nephroscale.places import PACKAGE, workflow_folder
from nephroscale.reporting.settings import ReportSettings
from nephroscale.slides.find_images import FoundFiles, FoundImage, find_images
from nephroscale.slides.stated_scale import StatedScale, read_stated_scales
from nephroscale.text import name_some

TEMPLATES = PACKAGE / "commands" / "templates"
#: Columns of a table of labels that are copied with the label if ids are pseudonyms.
KNOWN_COLUMNS = ("use", "reason", "group", "site", "scanner")
SHOWN = 5
FOLDS, SEEDS = 5, 3


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    init = commands.add_parser(
        "init", help="write the tables and the configuration of a new study, from a folder of images", run=init_study
    )
    init.add_argument("study", type=Path, metavar="STUDY", help="folder of the study; made if needed")
    init.add_argument(
        "--from", dest="source", type=Path, metavar="FOLDER", help="folder of the images; nothing is written there"
    )
    init.add_argument(
        "--pattern",
        help="how paths in FOLDER name patient, biopsy, modality, stain or marker: '{patient}/{modality}/{stain}*'",
    )
    init.add_argument("--labels", type=Path, metavar="TABLE", help="CSV or xlsx with patient_id and the labels")
    init.add_argument(
        "--pseudonyms",
        type=Path,
        metavar="KEYFILE",
        help="number the patients at random; KEYFILE, a CSV outside the study, links patients to numbers and is "
        "extended if it exists",
    )


@dataclass
class _Labels:
    """The table of labels: its rows by the patient as written (case-folded), and the column of the label."""

    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    label: str = "diagnosis"
    notes: list[str] = field(default_factory=list)


@dataclass
class _Tables:
    """The rows of the new tables, and notes for their user."""

    patients: list[dict[str, str]]
    images: list[dict[str, str]]
    notes: list[str]


def init_study(options: argparse.Namespace) -> None:
    """Write a new study; no file is overwritten."""
    study: Path = options.study
    files = ["study.yaml", "Snakefile", "slurm/config.yaml", "profiles/default/config.yaml"]
    if options.source is not None:
        files += ["patients.csv", "images.csv"]
        if not options.source.is_dir():
            raise NephroscaleError("There is no such folder.", where=f"--from {options.source}")
    if there := [name for name in files if (study / name).exists()]:
        raise NephroscaleError(
            f"{', '.join(there)} would be overwritten.", where=str(study), fix="Name another folder, or move them away."
        )
    key = options.pseudonyms
    if key is not None and key.resolve().is_relative_to(study.resolve()):
        raise NephroscaleError("The key file is inside the study.", where=str(key), fix="Keep it elsewhere.")
    pattern = compile_pattern(options.pattern) if options.pattern else None
    labels = _read_labels(options.labels) if options.labels else _Labels()
    tables = _Tables([], [], [])
    if options.source is not None:
        found = find_images(options.source, without=study.resolve())
        if not found.images:
            raise NephroscaleError("There is no image in this folder.", where=str(options.source))
        tables = _make_tables(options.source, found, pattern, labels, key)
    for name in files:
        (study / name).parent.mkdir(parents=True, exist_ok=True)
    if options.source is not None:
        _write_table(study / "patients.csv", tables.patients)
        _write_table(study / "images.csv", tables.images)
    (study / "study.yaml").write_text(_study_yaml(options, labels, tables), encoding="utf-8")
    shutil.copyfile(TEMPLATES / "Snakefile", study / "Snakefile")
    for profile, name in (("slurm", "slurm"), ("default", "profiles/default")):
        shutil.copyfile(workflow_folder() / "profiles" / profile / "config.yaml", study / name / "config.yaml")
    _print_summary(study, files, tables)


def _make_tables(
    source: Path, found: FoundFiles, pattern: re.Pattern[str] | None, labels: _Labels, key: Path | None
) -> _Tables:
    """Make the rows of both tables, and list what could not be found out."""
    named = [(image, parts) for image in found.images if (parts := parse_path(image.path, pattern))]
    unmatched = [image.path for image in found.images if parse_path(image.path, pattern) is None]
    if not named:
        raise NephroscaleError("No image fits the pattern.", where=f"--pattern, {unmatched[0]} for example")
    stated = read_stated_scales([(source / image.path, parts.modality, None) for image, parts in named])
    patients = dict.fromkeys(parts.patient for _, parts in named)
    ids = _pseudonyms(list(patients), key) if key else _ids_from_names(patients)
    taken: set[str] = set()
    images = []
    for (image, parts), scale in zip(named, stated, strict=True):
        row = _image_row(image, parts, scale, ids[parts.patient], pseudonym=key is not None)
        row["image_id"] = make_unique(row["image_id"], taken)
        taken.add(row["image_id"].casefold())
        images.append(row)
    notes = [
        *labels.notes,
        *_find_blanks(images),
        *(f"cannot be used: {row['path']}: {s.fault}" for row, s in zip(images, stated, strict=True) if s.fault),
    ]
    people = [_patient_row(name, ids[name], labels, pseudonym=key is not None) for name in patients]
    if labels.rows:
        notes += _note(
            "in the table of labels, but without images",
            sorted({*labels.rows} - {form for name in patients for form in _forms(name)}),
        )
        notes += _note(
            f"patients.csv, column {labels.label} is empty",
            [row["patient_id"] for row in people if not row[labels.label]],
        )
    else:
        notes.append("patients.csv, column diagnosis is empty; `folds` and all that follows needs it")
    notes += [
        *_note("left out, since the path does not fit --pattern", unmatched),
        *_note("left out, since they are not images", found.others),
    ]
    return _Tables(people, [_filled(row, images) for row in images], notes)


def _image_row(
    image: FoundImage, parts: NamedParts, scale: StatedScale, patient: str, *, pseudonym: bool
) -> dict[str, str]:
    stem = make_id(Path(image.path).stem)
    kind = "-".join(each for each in (parts.modality or "image", make_id(parts.stain or parts.marker)) if each)
    if pseudonym or not stem:
        name = f"{patient}-{kind}"
    else:
        name = stem if stem.casefold().startswith(patient.casefold()) else f"{patient}-{stem}"
    value = scale.believed(parts.modality)
    column = "nm_per_px" if parts.modality == "TEM" else "mpp"
    row = {
        "image_id": name,
        "patient_id": patient,
        "biopsy_id": make_id(parts.biopsy),
        "modality": parts.modality,
        "stain": parts.stain,
        "marker": parts.marker,
        "path": image.path,
        "mpp": "",
        "nm_per_px": "",
        "scale_source": "",
        "roi": "",
        "annotation": "",
        "deposit_outlines": "",
    }
    if value is not None:
        row |= {column: f"{value:.6g}", "scale_source": f"file header ({scale.source})"}
    if image.outlines:
        row["deposit_outlines" if parts.modality == "TEM" else "annotation"] = image.outlines
    return row


def _filled(row: dict[str, str], rows: list[dict[str, str]]) -> dict[str, str]:
    """Leave out the optional columns that no row fills."""
    optional = {"biopsy_id", "deposit_outlines", "annotation"}
    used = {column for each in rows for column, cell in each.items() if cell}
    return {column: cell for column, cell in row.items() if column in used or column not in optional}


def _find_blanks(images: list[dict[str, str]]) -> list[str]:
    """List the empty cells of images.csv that its user has to fill in."""
    blanks: dict[str, list[str]] = defaultdict(list)
    for row in images:
        modality, needed = row["modality"], {"OM": "stain", "IM": "marker"}.get(row["modality"], "modality")
        checks = {
            "modality is empty (OM, IM or TEM)": not modality,
            f"{needed} is empty": modality in {"OM", "IM"} and not row[needed],
            "mpp is empty (µm per pixel; or write `whole` in a column `roi` where one glomerulus fills the field)": (
                modality in {"OM", "IM"} and not row["mpp"]
            ),
            "nm_per_px is empty (or name instrument and magnification)": modality == "TEM" and not row["nm_per_px"],
            "mpp is from a plain resolution tag; compare it with a scale bar": "resolution tag" in row["scale_source"],
        }
        for what in (what for what, holds in checks.items() if holds):
            blanks[what].append(row["image_id"])
    return [note for what, names in blanks.items() for note in _note(f"images.csv, column {what}", names)]


def _note(what: str, names: list[str]) -> list[str]:
    return [f"{what}: {name_some(names, SHOWN)}"] if names else []


def _patient_row(name: str, patient: str, labels: _Labels, *, pseudonym: bool) -> dict[str, str]:
    given = next((labels.rows[form] for form in _forms(name) if form in labels.rows), {})
    kept = [labels.label, *(each for each in labels.columns if each != labels.label)]
    if pseudonym:  # other columns may say who it is
        kept = [labels.label, *(each for each in labels.columns if each in KNOWN_COLUMNS)]
    row = {"patient_id": patient} | {column: given.get(column, "") for column in kept}
    return row | {"use": row.get("use", "")}


def _forms(name: str) -> tuple[str, str]:
    """A patient as tables may write it: as in the path, or as an id."""
    return clean(name).casefold(), make_id(name).casefold()


def _ids_from_names(patients: Iterable[str]) -> dict[str, str]:
    ids: dict[str, str] = {}
    for name in patients:
        ids[name] = make_unique(make_id(name) or "patient", {each.casefold() for each in ids.values()})
    return ids


def _pseudonyms(patients: list[str], key: Path) -> dict[str, str]:
    """Number patients in random order; the key file keeps earlier pseudonyms and gets the new ones."""
    ids: dict[str, str] = {}
    if key.exists():
        with key.open(newline="", encoding="utf-8-sig") as stream:
            ids = {row["original"]: row["patient_id"] for row in csv.DictReader(stream)}
    taken = set(ids.values())
    free = (name for number in range(1, len(patients) + len(taken) + 1) if (name := f"P{number:04d}") not in taken)
    new = [name for name in patients if name not in ids]
    random.SystemRandom().shuffle(new)
    ids |= dict(zip(new, free, strict=False))
    rows = [{"patient_id": patient, "original": name} for name, patient in ids.items()]
    key.parent.mkdir(parents=True, exist_ok=True)
    partial = key.with_name(f".{key.name}.new")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    _write_table(partial, sorted(rows, key=lambda row: row["patient_id"]))
    partial.replace(key)
    return ids


def _read_labels(path: Path) -> _Labels:
    errors = ValidationErrors()
    table = read_table(str(path), "patients", ["patient_id"], errors)
    if table is not None:
        table = _with_known_columns(table)
    if table is not None and "patient_id" not in table.columns:
        here = ", ".join(table.columns)
        errors.add(str(path), f"the column is missing; the columns here are {here}.", row=1, column="patient_id")
    errors.raise_if_any(fix="Rename the column that holds the patients, as the files name them, to `patient_id`.")
    assert table is not None
    columns = [column for column in table.columns if column != "patient_id"]
    free = [column for column in columns if column not in KNOWN_COLUMNS]
    if "diagnosis" not in free and len(free) != 1:
        raise NephroscaleError(
            f"It is not clear which column is the label; the columns here are {', '.join(free) or 'none but the ids'}.",
            where=str(path),
            fix="Rename the column of the label to `diagnosis`.",
        )
    return _Labels(
        {cells["patient_id"].casefold(): cells for _, cells in table.rows},
        columns,
        "diagnosis" if "diagnosis" in free else free[0],
        [str(note) for note in errors.notes],
    )


def _with_known_columns(table: Table) -> Table:
    """Write columns as nephroscale writes them: `Patient ID`, `Site`, `Age` become `patient_id`, `site`, `age`."""
    known = {fold_column(name): name for name in (*read_schema("patients")["properties"], *ReportSettings().subgroups)}
    names = [known.get(fold_column(column), column) for column in table.columns]
    new = {column: column if names.count(name) > 1 else name for column, name in zip(table.columns, names, strict=True)}
    rows = [(number, {new[column]: cell for column, cell in cells.items()}) for number, cells in table.rows]
    return Table(table.name, tuple(new.values()), rows)


def _write_table(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8-sig") as stream:  # spreadsheets need the mark to read UTF-8
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _study_yaml(options: argparse.Namespace, labels: _Labels, tables: _Tables) -> str:
    def found(column: str, usual: list[str]) -> list[str]:
        names = {row[column] for row in tables.images if row[column]}
        return [name for name in usual if name in names] + sorted(names.difference(usual))

    modalities = found("modality", ["TEM", "OM", "IM"])
    counts = Counter(row[labels.label] for row in tables.patients if row.get(labels.label))
    classes = [name for name, count in counts.most_common() if count > 1]
    folds = max(2, min([FOLDS, *(counts[name] for name in classes)]))
    return (
        (TEMPLATES / "study.yaml")
        .read_text(encoding="utf-8")
        .format(
            root=json.dumps(_root(options.study, options.source), ensure_ascii=False),
            task=_task(labels.label, counts),
            stains=json.dumps(found("stain", ["PASM", "PAS", "Masson", "HE"]) or ["PASM", "PAS"], ensure_ascii=False),
            panel=json.dumps(found("marker", ["IgA", "IgG", "IgM", "C3", "C1q"]) or ["IgG"], ensure_ascii=False),
            modalities="{}" if len(modalities) in {0, 3} else f"{{modalities: [{', '.join(modalities)}]}}",
            folds=folds,
            trainings=SEEDS * folds,
            title=json.dumps(options.study.resolve().name, ensure_ascii=False),
        )
    )


def _root(study: Path, source: Path | None) -> str:
    """The folder of the images as study.yaml names it: relative where the study is near, absolute elsewhere."""
    if source is None:
        return "."
    near = source.resolve().is_relative_to(study.resolve().parent)
    return os.path.relpath(source.resolve(), study.resolve()) if near else str(source.resolve())


def _task(label: str, counts: Counter[str]) -> str:
    """The section `task`: each label becomes a class, until the user edits it."""
    if len([name for name, count in counts.items() if count > 1]) < 2:
        return (TEMPLATES / "task.yaml").read_text(encoding="utf-8").rstrip().format(label=label)
    lines = ["task:", f"  label: {json.dumps(label, ensure_ascii=False)}", "  classes:   # text in patients.csv: class"]
    for name, count in counts.most_common():
        text = json.dumps(name, ensure_ascii=False)
        reason = "" if count > 1 else "; too few for a class"
        lines.append(f"    {text}: {text if count > 1 else 'exclude'}   # patients: {count}{reason}")
    lines.append("  missing_modalities: exclude      # `mask` also takes patients without one of the modalities")
    return "\n".join(lines)


def _print_summary(study: Path, files: list[str], tables: _Tables) -> None:
    if tables.images:
        print(f"{len(tables.images)} images of {len(tables.patients)} patients")
        for modality, count in Counter(row["modality"] or "unknown modality" for row in tables.images).items():
            rows = [row for row in tables.images if (row["modality"] or "unknown modality") == modality]
            names = Counter(row["stain"] or row["marker"] for row in rows if row["stain"] or row["marker"])
            scaled = Counter(row["scale_source"] for row in rows if row["scale_source"])
            parts = [f"{name} {number}" for name, number in names.most_common()]
            parts += [f"scale from {name} {number}" for name, number in scaled.most_common()]
            print(f"  {modality:<4} {count:>5}" + (f"   {', '.join(parts)}" if parts else ""))
        outlined = sum(bool(row.get("annotation") or row.get("deposit_outlines")) for row in tables.images)
        if outlined:
            print(f"  {outlined} with outlines; they train the segmenter for patients of the use `segmentation`")
    if tables.notes:
        print("To check:", *(f"  {note}" for note in tables.notes), sep="\n")
    print(
        f"Written to {study}: {', '.join(files)}",
        f"Next: fill in what is listed above, edit {study / 'study.yaml'}, and list the remaining faults with",
        f"  nephroscale check --configfile {shlex.quote(str(study / 'study.yaml'))}",
        "Then, in that folder, `snakemake --cores all features` or `nephroscale run features`.",
        sep="\n",
    )
