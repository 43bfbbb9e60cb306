"""Write a cohort to disk with several processes. Files are complete or absent, and each is generated once."""

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
from typing import TYPE_CHECKING, TextIO, TypedDict

import cv2
import numpy as np
import tifffile

from nephroscale_demo.ceiling import ceiling_json
from nephroscale_demo.cohorts import COHORTS, VARIANTS, make_cohort
from nephroscale_demo.fluorescence import FieldPlan, generate_field
from nephroscale_demo.kidney import SlidePlan, generate_slide
from nephroscale_demo.slide_file import write_grey, write_slide
from nephroscale_demo.tables import ImageRow, InstrumentRow, PatientRow, as_csv
from nephroscale_demo.tem import generate_micrograph
from nephroscale_demo.truth import cohort_json, deposits_geojson, glomeruli_geojson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nephroscale_demo.draft import Draft, Work

MANIFEST = "manifest.jsonl"

# Modules that decide how a plan becomes a file. The plans themselves hold what an image shows.
RENDERING = (
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


class Entry(TypedDict):
    """A line of the manifest: a work, the digest of its plan and of the code, and the sizes of its files."""

    work: str
    recipe: str
    sizes: dict[str, int]


def tables_of(draft: Draft) -> dict[str, str]:
    """Text of the cohort's tables, by file name; an empty table of instruments is omitted."""
    tables = {
        "patients.csv": as_csv(PatientRow, draft.patients, draft.columns),
        "images.csv": as_csv(ImageRow, draft.images),
    }
    if draft.instruments:
        tables["instruments.csv"] = as_csv(InstrumentRow, draft.instruments)
    return tables


def write_tables(draft: Draft, folder: Path) -> None:
    """Write the cohort's tables; a table that exists with the same text is left unchanged.

    Parameters
    ----------
    draft
        The cohort.
    folder
        Folder of the tables; created if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in tables_of(draft).items():
        _write_text(folder / name, text)


def _write_text(path: Path, text: str) -> None:
    """Write a text file, unless it exists with the same text; its modification time then stays too."""
    data = text.encode()
    if not path.is_file() or path.read_bytes() != data:
        _put(path, lambda part: part.write_bytes(data))


def write_images(draft: Draft, folder: Path, jobs: int = 1, log: TextIO | None = None) -> int:
    """Generate the raw files that do not exist yet.

    Parameters
    ----------
    draft
        The cohort.
    folder
        Folder to which the paths of images.csv are relative; created if missing.
    jobs
        Processes; their number changes no byte.
    log
        Stream for progress messages; None for none.

    Returns
    -------
    Number of images that were generated.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_text(folder / "truth" / "cohort.json", cohort_json(draft))
    if draft.name == "demo":
        _write_text(folder / "truth" / "ceiling.json", ceiling_json(draft))
    code = _code_digest()
    known = _read_manifest(folder / MANIFEST)
    open_works = [w for w in draft.works if not _is_done(w, folder, known.get(w.path), code)]
    # Slides take longest and start first, so that no process waits for a last one.
    open_works.sort(key=lambda work: (not isinstance(work.plan, SlidePlan), work.path))
    if not open_works:
        return 0
    with (folder / MANIFEST).open("a", encoding="utf-8") as manifest:
        for number, (work, sizes) in enumerate(_do(open_works, folder, jobs), start=1):
            entry = Entry(work=work.path, recipe=_recipe(work, code), sizes=sizes)
            manifest.write(json.dumps(entry, sort_keys=True) + "\n")
            manifest.flush()
            if log is not None and (number % 25 == 0 or number == len(open_works)):
                log.write(f"{draft.name}: {number} of {len(open_works)} raw files generated\n")
                log.flush()
    kept = _read_manifest(folder / MANIFEST)
    lines = [json.dumps(kept[w.path], sort_keys=True) + "\n" for w in draft.works]
    _put(folder / MANIFEST, lambda path: path.write_text("".join(lines), encoding="utf-8"))
    return len(open_works)


def _do(works: list[Work], folder: Path, jobs: int) -> Iterator[tuple[Work, dict[str, int]]]:
    """Yield each work with the sizes of its files, in the order of completion."""
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
    """Generate one image and write its file and its side file.

    Parameters
    ----------
    work
        What the image shows and where to write it.
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
        slide = generate_slide(plan)
        truth = glomeruli_geojson(slide.glomeruli, plan.mpp)
        mpp = plan.mpp if work.states_scale else None
        write: Callable[[Path], object] = partial(write_slide, picture=slide.picture, mpp=mpp, vendor=work.vendor)
    elif isinstance(plan, FieldPlan):
        write = partial(write_grey, picture=generate_field(plan))
    else:
        micrograph = generate_micrograph(plan)
        truth = deposits_geojson(micrograph.sites)
        write = partial(write_grey, picture=micrograph.picture)
    _put(folder / work.path, write, damage=work.damage)
    if work.truth:
        _put(folder / work.truth, lambda path: path.write_text(truth, encoding="utf-8"))
    return {name: (folder / name).stat().st_size for name in work.files}


def _put(path: Path, write: Callable[[Path], object], *, damage: bool = False) -> None:
    """Write to a temporary name in the same folder, then rename, so that no incomplete file has the final name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        write(part)
        if damage:
            os.truncate(part, part.stat().st_size // 3)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _read_manifest(path: Path) -> dict[str, Entry]:
    """Read the entries by work; a line cut short by an interruption is ignored."""
    entries: dict[str, Entry] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                entry: Entry = json.loads(line)
                entries[entry["work"]] = entry
            except (ValueError, KeyError, TypeError):
                continue
    return entries


def _is_done(work: Work, folder: Path, entry: Entry | None, code: str) -> bool:
    if entry is None or entry["recipe"] != _recipe(work, code) or set(entry["sizes"]) != set(work.files):
        return False
    return all(
        (folder / name).is_file() and (folder / name).stat().st_size == size for name, size in entry["sizes"].items()
    )


def _recipe(work: Work, code: str) -> str:
    return hashlib.blake2b(f"{code}\0{work!r}".encode(), digest_size=12).hexdigest()


def _code_digest() -> str:
    """Digest of the generator's code and of its libraries' versions: after an edit, images are generated again."""
    digest = hashlib.blake2b(repr((np.__version__, cv2.__version__, tifffile.__version__)).encode(), digest_size=12)
    for name in RENDERING:
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()


def main(arguments: list[str] | None = None) -> int:
    """Run the generator's command line."""
    parser = argparse.ArgumentParser(description="Generate one of the synthetic cohorts.")
    parser.add_argument("cohort", choices=sorted(COHORTS), help="which cohort")
    parser.add_argument("--out", required=True, type=Path, help="folder for the raw files (data.root)")
    parser.add_argument("--tables", type=Path, help="folder for the tables; those in config/ are committed")
    parser.add_argument("--jobs", type=int, default=2, help="processes; their number changes no byte")
    parser.add_argument("--variant", choices=VARIANTS, help="of the cohort demo")
    options = parser.parse_args(arguments)
    if options.variant and options.cohort != "demo":
        parser.error("only the cohort demo has variants")
    draft = make_cohort(options.cohort, options.variant)
    if options.jobs < 1:
        parser.error("--jobs has to be at least 1")
    if options.tables is not None:
        write_tables(draft, options.tables)
    done = write_images(draft, options.out, options.jobs, sys.stderr)
    sys.stderr.write(f"{draft.name}: {len(draft.works)} raw files in {options.out}, {done} of them generated now\n")
    return 0
