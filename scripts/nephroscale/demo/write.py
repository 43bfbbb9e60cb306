"""Writing a cohort to disk: whole files only, each once, on several processes."""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import cv2
import numpy as np
import tifffile

from nephroscale.demo.cohorts import COHORTS, make_cohort
from nephroscale.demo.fluorescence import FieldPlan, draw_field
from nephroscale.demo.kidney import SlidePlan, draw_slide
from nephroscale.demo.slide_file import write_grey, write_slide
from nephroscale.demo.tables import ImageRow, InstrumentRow, PatientRow, as_csv
from nephroscale.demo.tem import draw_micrograph
from nephroscale.demo.truth import cohort_json, deposits_geojson, glomeruli_geojson
from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nephroscale.demo.draft import Draft, Work

MANIFEST = "manifest.jsonl"

# Modules that decide how a plan is drawn and written; what is drawn is in the plans themselves.
DRAWING = (
    "fluorescence",
    "glomerulus",
    "kidney",
    "micrograph",
    "noise",
    "section",
    "slide_file",
    "stain",
    "tem",
    "truth",
    "wall",
)


def tables_of(draft: Draft) -> dict[str, str]:
    """Text of the cohort's tables, by file name; an empty table of instruments is left out."""
    tables = {
        "patients.csv": as_csv(PatientRow, draft.patients, draft.columns),
        "images.csv": as_csv(ImageRow, draft.images),
    }
    if draft.instruments:
        tables["instruments.csv"] = as_csv(InstrumentRow, draft.instruments)
    return tables


def write_tables(draft: Draft, folder: Path) -> None:
    """Write the cohort's tables; a table that is there already with the same text is left alone.

    Parameters
    ----------
    draft
        The cohort.
    folder
        Made where missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in tables_of(draft).items():
        _write_text(folder / name, text)


def _write_text(path: Path, text: str) -> None:
    """Write a text file, unless it is there with the same text: then its time stays too."""
    data = text.encode()
    if not path.is_file() or path.read_bytes() != data:
        _put(path, lambda part: part.write_bytes(data))


def write_images(draft: Draft, folder: Path, jobs: int = 1, log: TextIO | None = None) -> int:
    """Draw and write the raw files that are not there yet.

    Parameters
    ----------
    draft
        The cohort.
    folder
        What the paths of images.csv are relative to; made where missing.
    jobs
        Processes; their number changes no byte.
    log
        Where to tell the progress; nowhere if None.

    Returns
    -------
    How many works had to be done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_text(folder / "truth" / "cohort.json", cohort_json(draft))
    code = _code_digest()
    known = _read_manifest(folder / MANIFEST)
    open_works = [w for w in draft.works if not _is_done(w, folder, known.get(w.path), code)]
    # The slides take longest: started first, they leave no process waiting for a last one.
    open_works.sort(key=lambda work: (not isinstance(work.plan, SlidePlan), work.path))
    if not open_works:
        return 0
    with (folder / MANIFEST).open("a", encoding="utf-8") as manifest:
        for number, (work, sizes) in enumerate(_do(open_works, folder, jobs), start=1):
            entry = {"work": work.path, "recipe": _recipe(work, code), "sizes": sizes}
            manifest.write(json.dumps(entry, sort_keys=True) + "\n")
            manifest.flush()
            if log is not None and (number % 25 == 0 or number == len(open_works)):
                log.write(f"{draft.name}: {number} of {len(open_works)} raw files drawn\n")
                log.flush()
    kept = _read_manifest(folder / MANIFEST)
    lines = [json.dumps(kept[w.path], sort_keys=True) + "\n" for w in draft.works]
    _put(folder / MANIFEST, lambda path: path.write_text("".join(lines), encoding="utf-8"))
    return len(open_works)


def _do(works: list[Work], folder: Path, jobs: int):  # type: ignore[no-untyped-def]
    """Yield each work and the sizes of its files, as they are done."""
    if jobs == 1 or len(works) == 1:
        for work in works:
            yield work, do_work(work, folder)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(jobs, len(works)), mp_context=context)
    try:
        futures = {pool.submit(do_work, work, folder): work for work in works}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def do_work(work: Work, folder: Path) -> dict[str, int]:
    """Draw one image and write its file and its side file.

    Parameters
    ----------
    work
        What to draw and where to write it.
    folder
        The cohort's folder.

    Returns
    -------
    Size of each file, bytes.
    """
    cv2.setNumThreads(1)
    plan = work.plan
    truth = ""
    if isinstance(plan, SlidePlan):
        slide = draw_slide(plan)
        truth = glomeruli_geojson(slide.glomeruli, plan.mpp)
        mpp = plan.mpp if work.states_scale else None
        write: Callable[[Path], object] = partial(write_slide, picture=slide.picture, mpp=mpp, vendor=work.vendor)
    elif isinstance(plan, FieldPlan):
        write = partial(write_grey, picture=draw_field(plan))
    else:
        micrograph = draw_micrograph(plan)
        truth = deposits_geojson(micrograph.sites)
        write = partial(write_grey, picture=micrograph.picture)
    _put(folder / work.path, write, damage=work.damage)
    if work.truth:
        _put(folder / work.truth, lambda path: path.write_text(truth, encoding="utf-8"))
    return {name: (folder / name).stat().st_size for name in work.files}


def _put(path: Path, write: Callable[[Path], object], *, damage: bool = False) -> None:
    """Write to a temporary name beside the file, then rename: a file that is there is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        write(part)
        if damage:
            os.truncate(part, part.stat().st_size // 3)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _read_manifest(path: Path) -> dict[str, dict]:
    """Entries by work; a line that an interruption cut short is no entry."""
    entries: dict[str, dict] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
                entries[entry["work"]] = entry
            except (ValueError, KeyError, TypeError):
                continue
    return entries


def _is_done(work: Work, folder: Path, entry: dict | None, code: str) -> bool:
    if entry is None or entry["recipe"] != _recipe(work, code) or set(entry["sizes"]) != set(work.files):
        return False
    return all(
        (folder / name).is_file() and (folder / name).stat().st_size == size for name, size in entry["sizes"].items()
    )


def _recipe(work: Work, code: str) -> str:
    return hashlib.blake2b(f"{code}\0{work!r}".encode(), digest_size=12).hexdigest()


def _code_digest() -> str:
    """Digest of the generator's own code and of the packages that draw: edited code draws anew."""
    digest = hashlib.blake2b(repr((np.__version__, cv2.__version__, tifffile.__version__)).encode(), digest_size=12)
    for name in DRAWING:
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()


def main(arguments: list[str] | None = None) -> int:
    """Run the generator's command line."""
    parser = argparse.ArgumentParser(description="Draw one of the synthetic cohorts.")
    parser.add_argument("cohort", choices=sorted(COHORTS), help="which cohort")
    parser.add_argument("--out", required=True, type=Path, help="folder for the raw files (data.root)")
    parser.add_argument("--tables", type=Path, help="folder to write the tables to; those in config/ are committed")
    parser.add_argument("--jobs", type=int, default=2, help="processes; their number changes no byte")
    options = parser.parse_args(arguments)
    draft = make_cohort(options.cohort)
    if options.jobs < 1:
        parser.error("--jobs has to be at least 1")
    try:
        if options.tables is not None:
            write_tables(draft, options.tables)
        done = write_images(draft, options.out, options.jobs, sys.stderr)
    except NephroscaleError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stderr.write(f"{draft.name}: {len(draft.works)} raw files in {options.out}, {done} of them drawn now\n")
    return 0
