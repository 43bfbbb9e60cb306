"""What a store and its results folders hold of one patient, and how it is deleted."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nephroscale.collect import grouped
from nephroscale.engine.batches import STAGES_OF_BATCHES, names_of_batches
from nephroscale.engine.last_plan import FOLDER as LAST_PLANS
from nephroscale.engine.plan import Plan
from nephroscale.engine.stage import Stage
from nephroscale.errors import NephroscaleError
from nephroscale.store.digest import digest_json
from nephroscale.store.folder import remove_tree
from nephroscale.store.receipts import read_receipt
from nephroscale.store.records import Record
from nephroscale.store.results_index import registered_results
from nephroscale.text import name_some

Key = tuple[str, str]
TEXTS = {".html", ".json", ".csv", ".txt", ".svg", ".md"}


@dataclass
class Holdings:
    """Everything that contains or was computed from a patient's data.

    Attributes
    ----------
    cases, images
        Ids of the patient (of each biopsy, if there are several), and of the images.
    units
        Stage and unit of what was made of the patient's data, whether it still exists or not.
    objects
        Digest to ``stage/unit``.
    recipes
        Digests of the recipes whose records name the patient.
    files
        Receipts, links, pages, logs, past reports and folders of raw links, in all results folders of the store.
    entries
        Files of the store: records, checkpoints, digests of raw files, names of batches.
    shared
        Objects (``stage/unit``) that stay, since other patients' data gave equal bytes.
    predictions
        ``stage/unit`` of other patients' predictions by networks that learnt from the patient: only their records go.
    """

    cases: set[str]
    images: set[str]
    units: set[Key] = field(default_factory=set)
    objects: dict[str, str] = field(default_factory=dict)
    recipes: set[str] = field(default_factory=set)
    files: list[Path] = field(default_factory=list)
    entries: list[Path] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)
    predictions: set[str] = field(default_factory=set)

    def owns(self, stage: Stage | None, unit: str) -> bool:
        """Whether a unit of a stage is the patient's own."""
        pattern = stage.pattern if stage else ""
        if pattern == "{patient}-{modality}":
            return unit.rpartition("-")[0] in self.cases
        return unit in (self.images if pattern == "{image}" else self.cases)


def find_holdings(plan: Plan, patient: str) -> Holdings:
    """Find everything that contains or was computed from a patient's data.

    An artifact of all patients (folds, weights, evaluations, the report) holds the patient where its recipe names the
    patient, or an input of it holds the patient. An artifact of another patient does not, nor does a batch of others.

    Raises
    ------
    NephroscaleError
        When neither the tables nor any record name the patient.
    """
    records = [*plan.records.all(), *plan.records.repeats()]
    held = _ids(plan, patient, records)
    order = {name: place for place, name in enumerate(plan.stages)}
    values: set[str] = set()  # digests of objects and of receipts that hold the patient
    others: set[str] = set()
    raw: set[str] = set()  # digests of the patient's raw files
    for record in sorted(records, key=lambda each: order.get(each.receipt.stage, len(order))):
        receipt, recipe = record.receipt, record.recipe
        stage = plan.stages.get(receipt.stage)
        named = _names(plan, held, record)
        holds = _holds(held, stage, record, named=named or not values.isdisjoint(recipe.inputs.values()))
        if named or holds:
            held.recipes.add(recipe.digest)
        if holds:
            held.units.add((receipt.stage, receipt.unit))
            values |= {digest_json(receipt.as_json()), *([receipt.digest] if receipt.digest else [])}
            if receipt.digest:
                held.objects[receipt.digest] = f"{receipt.stage}/{receipt.unit}"
            if receipt.stage == "register":
                raw |= set(recipe.inputs.values())
        else:
            others |= {receipt.digest} if receipt.digest else set()
            if named:
                held.predictions.add(f"{receipt.stage}/{receipt.unit}")
    held.shared = sorted({held.objects.pop(digest) for digest in others & held.objects.keys()})
    for results in dict.fromkeys([plan.results.absolute(), *registered_results(plan.store)]):
        held.files += _files(plan, held, results)
    held.entries = list(_entries(plan, held, raw))
    return held


def _ids(plan: Plan, patient: str, records: Iterable[Record]) -> Holdings:
    cases = {each.id for each in plan.cohort.patients.values() if patient in {each.id, each.person}}
    held = Holdings(cases, {image.id for image in plan.cohort.images.values() if image.patient_id in cases})
    held.images |= {negative.id for negative in plan.cohort.negatives.values() if negative.patient_id in cases}
    for record in records:
        if record.receipt.stage == "register" and record.receipt.unit in {patient, *cases}:
            held.cases.add(record.receipt.unit)
            held.images |= set(record.recipe.rows if isinstance(record.recipe.rows, dict) else ())
    if not held.cases:
        raise NephroscaleError(
            f"No patient {patient!r} is known.",
            where=f"{plan.config.data.patients} and the records of {plan.store.path}",
            fix="Write the id as in the table of patients; small and capital letters differ.",
        )
    return held


def _names(plan: Plan, held: Holdings, record: Record) -> bool:
    """Whether the recipe of a record names the patient."""
    if not (held.cases | held.images).isdisjoint(_texts(record.recipe.rows)):
        return True
    inputs = (label.partition("#")[0].partition("/") for label in record.recipe.inputs)
    return any(held.owns(plan.stages.get(stage), unit) for stage, _, unit in inputs)


def _holds(held: Holdings, stage: Stage | None, record: Record, *, named: bool) -> bool:
    """Whether the artifact of a record holds the patient; `named`: its recipe or an input of it does."""
    pattern, rows = stage.pattern if stage else "", record.recipe.rows
    if "{patient}" in pattern or "{image}" in pattern:
        return held.owns(stage, record.receipt.unit)
    if "{batch}" in pattern and isinstance(rows, dict):
        return not held.cases.isdisjoint(rows.get("patients", ()))
    return named


def _texts(value: object) -> Iterator[str]:
    """All keys and texts of a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def _files(plan: Plan, held: Holdings, results: Path) -> list[Path]:
    """The files, links and folders of a results folder that hold the patient."""
    word = re.compile(rb"(?<![\w-])(%s)(?![\w])" % b"|".join(re.escape(case.encode()) for case in sorted(held.cases)))
    found = [folder for image in sorted(held.images) if (folder := results / "raw" / image).is_dir()]
    found += [
        folder
        for folder in sorted(results.glob("reports/*"))
        if folder.is_dir() and not folder.is_symlink() and any(_mentions(path, word) for path in folder.rglob("*"))
    ]
    passed = {results / "raw", *found}
    for top, folders, names in os.walk(results):
        folder = Path(top)
        folders[:] = sorted(name for name in folders if folder / name not in passed)
        for path in (folder / name for name in sorted([*folders, *names])):
            if path.is_symlink():
                if path.readlink().name in held.objects:
                    found.append(path)
            elif path.is_file() and _is_held(plan, held, path.relative_to(results), path, word):
                found.append(path)
    return found


def _is_held(plan: Plan, held: Holdings, name: Path, path: Path, word: re.Pattern[bytes]) -> bool:
    if name.parts[0] in {"logs", "benchmarks"}:
        stage, unit = (name.parts[1:2] or ("",))[0], "/".join(name.parts[2:])
        stem = unit[: -len("".join(name.suffixes))] if name.suffixes else unit
        return (stage, stem) in held.units or held.owns(plan.stages.get(stage), stem)
    receipt = read_receipt(path) if path.suffix == ".json" else None
    if receipt is None:
        return len(name.parts) == 1 and _mentions(path, word)
    key = (receipt.stage, receipt.unit)
    if receipt.digest in held.objects:
        held.units.add(key)  # a batch may have had another name when its record was written
        return True
    return held.owns(plan.stages.get(receipt.stage), receipt.unit) or (not receipt.digest and key in held.units)


def _mentions(path: Path, word: re.Pattern[bytes]) -> bool:
    return path.is_file() and path.suffix.lower() in TEXTS and bool(word.search(path.read_bytes()))


def _entries(plan: Plan, held: Holdings, raw: set[str]) -> Iterator[Path]:
    """The small files of the store that hold the patient."""
    store = plan.store
    for recipe in sorted(held.recipes):
        yield from filter(Path.exists, (plan.records.path(recipe), store.path / "work" / recipe))
        yield from sorted(store.path.glob(f"repeats/{recipe}-*.json"))
    yield from (path for path in sorted(store.path.glob("damaged/*")) if path.name[:64] in held.objects)
    yield from (path for path in sorted(store.path.glob("raw/*/*.json")) if plan.raw_cache.digest_in(path) in raw)
    batches = {unit.partition("/")[2] for stage, unit in held.units if stage in STAGES_OF_BATCHES}
    yield from (path for path, name in names_of_batches(store).items() if name in batches)
    yield from sorted(store.path.glob(f"{LAST_PLANS}/*.json"))  # the next run writes it again


def delete_holdings(plan: Plan, held: Holdings) -> list[str]:
    """Delete what was found: first what points to objects, then records, then objects.

    Returns
    -------
    list of str
        Paths that this user may not delete.
    """
    left = []
    for path in [*held.files, *held.entries]:
        remove_tree(path)
        if os.path.lexists(path):
            left.append(str(path))
    for digest in held.objects:
        try:
            plan.store.remove(digest)
        except PermissionError:
            left.append(str(plan.store.object_path(digest)))
    return left


def describe(plan: Plan, held: Holdings) -> list[str]:
    """List what was found, one line for each stage and each kind of file."""
    by_stage = grouped(
        (stage, unit) for stage, _, unit in (name.partition("/") for name in sorted(held.objects.values()))
    )
    ordered = sorted(by_stage, key=[*plan.stages, *by_stage].index)
    kinds = Counter(path.relative_to(plan.store.path).parts[0] for path in held.entries)
    return [
        *(f"objects of {stage}: {_some(by_stage[stage])}" for stage in ordered),
        *([f"results: {_some([os.path.relpath(path) for path in held.files])}"] if held.files else []),
        *(f"{plan.store.path}/{kind}: {number} entries" for kind, number in kinds.items()),
    ]


def describe_rest(plan: Plan, held: Holdings, left: Iterable[str] = ()) -> list[str]:
    """List what stays of a patient after the deletion, and where else to look."""
    data, new = plan.config.data, plan.config.predict
    tables = filter(None, (data.patients, data.images, new.patients, new.images))
    images = [image for case in sorted(held.cases) for image in plan.cohort.images_of(case)]
    paths = [str(path) for image in images for path in (image.path, image.annotation) if path]
    kinds = (
        (
            any(case in plan.cohort.patients for case in held.cases),
            f"tables, which the next run reads again: delete the rows of the patient in {', '.join(tables)}",
        ),
        (paths, f"raw files: {_some(paths)}"),
        (held.shared, f"objects that the data of other patients gave too: {_some(held.shared)}"),
        (
            held.predictions,
            "predictions of other patients by networks that were trained on this patient (their records are deleted): "
            + _some(sorted(held.predictions)),
        ),
    )
    return [
        *(f"belongs to another user, and only this user can delete it: {path}" for path in left),
        *(line for there, line in kinds if there),
        "Snakemake's own folder, with the names of files and the logs of the cluster",
        "copies made by hand, exported bundles and reports, packaged models, other stores, backups",
    ]


def _some(names: list[str]) -> str:
    return f"{name_some(names, 8)} ({len(names)})"
