"""The pre-pass: before Snakemake plans, every receipt, link and page is brought to what the store knows."""

from __future__ import annotations

import filecmp
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nephroscale.slides.raw import link_raw
from nephroscale.store.receipts import raise_time, settle_receipt, unlink_receipt
from nephroscale.store.records import now
from nephroscale.store.results_index import register_results

if TYPE_CHECKING:
    from nephroscale.engine.plan import Plan
    from nephroscale.engine.stage import Stage
    from nephroscale.store.receipts import Receipt


def settle(plan: Plan) -> None:
    """Bring every receipt, link and page of a plan to what is known now.

    A known artifact gets its receipt, not older than those it depends on; an unknown one loses it, so that Snakemake
    plans its job. Objects stay in the store.
    """
    register_results(plan.store, plan.results)
    times: dict[tuple[str, str], int] = {}
    for name, stage in plan.stages.items():
        script_time = (plan.scripts / f"{stage.rule}.py").stat().st_mtime_ns
        units = plan.units(name)
        for unit in units:
            _settle_unit(plan, stage, unit, script_time, times)
        for copy, file in stage.pages:
            _settle_page(plan.results / copy, plan.object_path(name, "cohort"), file, times.get((name, "cohort"), 0))
        _unlink_others(plan, name, set(units))
    plan.settled = True


def _settle_unit(plan: Plan, stage: Stage, unit: str, script_time: int, times: dict[tuple[str, str], int]) -> None:
    key = (stage.name, unit)
    path, link = plan.receipt_path(*key), plan.link_path(*key)
    known = plan.look_up(stage, unit)
    plan.set_receipt(*key, known)
    if known is None:
        unlink_receipt(path, link)
        return
    not_before_ns = max(script_time, *(times.get(need[:2], 0) for need in stage.upstream(plan, unit)), 0)
    record_test_set_use(plan, stage, unit, known)
    changed = settle_receipt(path, link, known, plan.store, not_before_ns)
    if stage.name == "register" and (changed or not _links_lead_to_raw(plan, unit)):
        link_raw_files(plan, unit)
    with suppress(FileNotFoundError):  # Snakemake takes a job's benchmark for one of its outputs
        raise_time(plan.benchmark_path(*key), not_before_ns)
    times[key] = os.stat(path).st_mtime_ns  # noqa: PTH116


def _settle_page(path: Path, artifact: Path | None, file: str, not_before_ns: int) -> None:
    """Make the copy of a stage's page equal to the one in its object, and not older than the receipt."""
    page = artifact / file if artifact else None
    if page is None or not page.is_file():
        path.unlink(missing_ok=True)
        return
    if not path.is_file() or not filecmp.cmp(path, page, shallow=False):
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            shutil.copyfile(page, temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    raise_time(path, not_before_ns)


def record_test_set_use(plan: Plan, stage: Stage, unit: str, receipt: Receipt) -> None:
    """Enter into the ledger that a unit has scored test patients, and when, by its record."""
    if not receipt.accepted or not (use := stage.test_set_use(plan, unit)):
        return
    record = plan.records.read(plan.recipe_digest(stage.name, unit) or "")
    plan.ledger.add(use, record.made["started"] if record else now())


def link_raw_files(plan: Plan, patient: str) -> None:
    """Make the id-named links to a patient's raw files."""
    for image in plan.cohort.images_of(patient):
        link_raw(image.path, plan.raw_folder(image))
        if image.annotation:
            link_raw(image.annotation, plan.raw_folder(image) / "annotation")


def _unlink_others(plan: Plan, stage: str, units: set[str]) -> None:
    """Remove receipts of units that the tables or the configuration no longer name, and half-written ones."""
    top = str(plan.results / stage)
    if os.path.islink(top):  # noqa: PTH114
        return
    for folder, links, files in os.walk(top):  # a link to a folder is listed with the folders
        below = folder[len(top) + 1 :] + "/" if folder != top else ""
        for name in [*files, *(name for name in links if name.startswith("."))]:
            if name.startswith(".") and name.endswith(".tmp"):  # of a process that was killed
                (Path(folder) / name).unlink(missing_ok=True)
            elif name.endswith(".json") and below + name[:-5] not in units:
                path = Path(folder) / name
                if not path.is_symlink() and not name.startswith("."):
                    unlink_receipt(path, plan.link_path(stage, below + name[:-5]))


def _links_lead_to_raw(plan: Plan, patient: str) -> bool:
    """Whether the links of a patient's plain raw files lead where the tables say; outlines are always linked again."""
    for image in plan.cohort.images_of(patient):
        link = f"{plan.results}/raw/{image.id}/slide{image.path.suffix.lower()}"
        try:
            if image.annotation or not os.path.samestat(os.stat(link), os.stat(image.path)):  # noqa: PTH116
                return False
        except OSError:
            return False
    return True
