"""The pre-pass: before Snakemake plans, every receipt, link and page is compared with the store and updated.

:func:`find_out` reads and writes nothing. :func:`apply` writes what was found; only a real run does that.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from nephroscale.collect import reachable
from nephroscale.engine.batches import STAGES_OF_BATCHES, remember_batch
from nephroscale.engine.last_plan import LastPlan
from nephroscale.engine.past_reports import keep_report
from nephroscale.engine.plan import Plan
from nephroscale.engine.stage import Stage
from nephroscale.slides.raw import link_raw
from nephroscale.store.disk import write_whole
from nephroscale.store.receipts import Receipt, link_target, raise_time, read_receipt, settle_receipt, time_where_held
from nephroscale.store.records import now
from nephroscale.store.results_index import OUTDATED, register_results


@dataclass
class Findings:
    """What the files of a results folder have to become.

    Attributes
    ----------
    times
        Of each known artifact: the modification time that its receipt needs, in nanoseconds since the epoch.
    rewritten
        Known artifacts whose receipt or link is missing or different.
    unknown
        Units whose artifact is not known: their jobs have to run.
    pages
        Of each copy of a page that is known: the page in the object, and its time in nanoseconds.
    last
        What the next pre-pass may recall.
    """

    times: dict[tuple[str, str], int] = field(default_factory=dict)
    rewritten: set[tuple[str, str]] = field(default_factory=set)
    unknown: list[tuple[str, str]] = field(default_factory=list)
    pages: dict[Path, tuple[Path, int]] = field(default_factory=dict)
    last: LastPlan | None = None

    def files(self, plan: Plan) -> Iterator[tuple[str, int | None]]:
        """The files that Snakemake asks about, as :func:`apply` would leave them: path and time, None where absent."""
        yield from ((plan.receipt_name(*key), None) for key in self.unknown)
        for key, time_ns in self.times.items():
            yield plan.receipt_name(*key), time_ns
            benchmark = plan.benchmark_name(*key)  # Snakemake takes it for one of the job's outputs
            with suppress(FileNotFoundError):
                yield benchmark, max(os.stat(benchmark).st_mtime_ns, time_ns)  # noqa: PTH116
        yield from ((str(copy), time_ns) for copy, (_, time_ns) in self.pages.items())


def find_out(plan: Plan) -> Findings:
    """Look up every artifact of a plan, in the order of the stages; the plan then holds the receipts that are known.

    Nothing is written: what the store has to write (digests of raw files, damaged objects that are set aside) waits for
    :func:`apply`.
    """
    found = Findings()
    plan.lost = {}
    plan.store.defer()
    started = time.time_ns()
    found.last = last = LastPlan(plan)
    for name, stage in plan.stages.items():
        script_time = (plan.scripts / f"{stage.rule}.py").stat().st_mtime_ns
        for unit in plan.units(name):
            key = (name, unit)
            known = last.recall(stage, unit) or plan.look_up(stage, unit)
            plan.set_receipt(*key, known)
            last.keep(stage, unit, known)
            if known is None:
                found.unknown.append(key)
                continue
            record_test_set_use(plan, stage, unit, known)
            written = _time_of_equal_receipt(plan, key, known)
            if written is None:
                found.rewritten.add(key)
            found.times[key] = max(
                script_time, written or started, *(found.times.get(need, 0) for need in plan.upstream(name, unit))
            )
        artifact = plan.object_path(name, "cohort") if stage.pages else None
        found.pages |= {
            plan.results / copy: (artifact / page, found.times[name, "cohort"])
            for copy, page in stage.pages
            if artifact and (artifact / page).is_file()
        }
    plan.keep_parsed_code()
    plan.settled = True
    lost_before = partial(_lost_before, plan)
    plan.bypassed = reachable((need for key in found.times for need in lost_before(key)), lost_before)
    return found


def apply(plan: Plan, found: Findings) -> None:
    """Write what was found.

    A known artifact gets its receipt, not older than those it depends on. The receipt of an unknown one moves to the
    subfolder of outdated receipts, so that Snakemake plans its job; the link to the old object stays until the new one
    is there. Objects stay in the store.
    """
    plan.store.catch_up()
    register_results(plan.store, plan.results)
    remember_batch(plan)
    for key in found.unknown:
        _set_outdated(plan, plan.receipt_path(*key))
    for key, time_ns in found.times.items():
        receipt = plan.receipt(*key)
        assert receipt is not None
        path = plan.receipt_path(*key)
        if key in found.rewritten:
            publish_receipt(plan, *key, receipt)
            os.utime(path, ns=(time_ns, time_ns))
        else:
            raise_time(path, time_ns)
        with suppress(FileNotFoundError):
            raise_time(plan.benchmark_name(*key), time_ns)
        if key[0] == "register" and (key in found.rewritten or not _links_lead_to_raw(plan, key[1])):
            link_raw_files(plan, key[1])
    for copy, (page, time_ns) in found.pages.items():
        _copy_page(page, copy)
        raise_time(copy, time_ns)
    for stage in plan.stages.values():
        _set_others_outdated(plan, stage, set(plan.units(stage.name)))
    if found.last:
        found.last.write()


def _lost_before(plan: Plan, key: tuple[str, str]) -> list[tuple[str, str]]:
    """The lost artifacts among those that a unit's rule waits for."""
    return [need for need in plan.upstream(*key) if need in plan.lost] if plan.lost else []


def settle(plan: Plan) -> None:
    """Find out, and write what was found."""
    apply(plan, find_out(plan))


def healed_otherwise(plan: Plan, ended: Plan) -> list[tuple[str, str]]:
    """List the artifacts that were lost before a run, and that came out otherwise when they were made again.

    Parameters
    ----------
    plan
        Of the run, with what was lost when it began.
    ended
        A plan that was opened after the last job.
    """
    return [key for key, before in plan.lost.items() if (now := ended.receipt(*key)) and now != before]


def publish_receipt(plan: Plan, stage: str, unit: str, receipt: Receipt) -> None:
    """Write a receipt and its link, in place of outdated ones; a finished report gets its number."""
    path = plan.receipt_path(stage, unit)
    settle_receipt(path, plan.link_path(stage, unit), receipt, plan.store)
    outdated_path(plan, path).unlink(missing_ok=True)
    if plan.stages[stage].numbered:
        keep_report(plan.results, receipt, plan.store)


def outdated_path(plan: Plan, receipt: Path) -> Path:
    """The place of a receipt while its link leads to an outdated object."""
    return plan.results / OUTDATED / receipt.relative_to(plan.results)


def outdated(plan: Plan, stage: str, unit: str) -> Receipt | None:
    """The receipt of an outdated artifact: it exists, but the present data, configuration and code give another one."""
    if plan.receipt(stage, unit) is not None:
        return None
    path = plan.receipt_path(stage, unit)
    return read_receipt(path) or read_receipt(outdated_path(plan, path))


def outdated_receipts(results: Path) -> dict[Path, Receipt]:
    """The receipts of outdated artifacts whose links people may still open, by the receipt's path."""
    return {path: receipt for path in sorted((results / OUTDATED).rglob("*.json")) if (receipt := read_receipt(path))}


def delete_outdated(plan: Plan) -> int:
    """Delete the links to outdated objects, and the receipts kept for them; return how many they were.

    What people look at stays: reports, audits and predictions.
    """
    count = 0
    for path in outdated_receipts(plan.results):
        stage, _, unit = path.relative_to(plan.results / OUTDATED).with_suffix("").as_posix().partition("/")
        if stage not in plan.stages or plan.stages[stage].pages or stage in STAGES_OF_BATCHES:
            continue
        path.unlink()
        link = plan.link_path(stage, unit or "cohort")
        if plan.receipt(stage, unit or "cohort") is None:
            link.unlink(missing_ok=True)
        count += 1
    return count


def _set_outdated(plan: Plan, path: Path) -> None:
    target = outdated_path(plan, path)
    with suppress(FileNotFoundError):
        if read_receipt(path) is None:  # a note of a failed job, or damaged
            path.unlink()
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)


def _time_of_equal_receipt(plan: Plan, key: tuple[str, str], receipt: Receipt) -> int | None:
    """When a receipt was written; None if its file or its link is missing or different."""
    path, link = plan.receipt_name(*key), plan.link_name(*key)
    written = time_where_held(path, receipt)
    if written is None or link_target(link) != plan.store.relative_path(receipt.digest, os.path.dirname(link)):  # noqa: PTH120
        return None
    return written


def _copy_page(page: Path, path: Path) -> None:
    """Make the copy of a page equal to the one in the object.

    Its links to the pages of cases lead into the folder, and its link to the audit to the copy beside it.
    """
    text = page.read_bytes()
    if page.suffix == ".html":
        text = text.replace(b'href="cases/', b'href="%s/cases/' % path.stem.encode())
        text = text.replace(b'href="../audit.html', b'href="audit.html')
    if not path.is_file() or path.read_bytes() != text:
        write_whole(path, text)


def record_test_set_use(plan: Plan, stage: Stage, unit: str, receipt: Receipt) -> None:
    """Enter into the ledger that a unit has scored test patients, and when, by its record."""
    if not receipt.accepted or not (use := plan.test_set_use(stage.name, unit)):
        return
    record = plan.records.read(plan.recipe_digest(stage.name, unit) or "")
    plan.ledger.add(use, record.made["started"] if record else now())


def link_raw_files(plan: Plan, patient: str) -> None:
    """Make the id-named links to a patient's raw files."""
    for image in plan.cohort.images_of(patient):
        link_raw(image.path, plan.raw_folder(image))
        if image.annotation:
            link_raw(image.annotation, plan.raw_folder(image) / "annotation")


def _set_others_outdated(plan: Plan, stage: Stage, units: set[str]) -> None:
    """Do with receipts of units that the configuration no longer names as with those of unknown artifacts."""
    top = str(plan.results / stage.name)
    if os.path.islink(top):  # noqa: PTH114
        return
    for folder, links, files in os.walk(top):  # a link to a folder is listed with the folders
        below = folder[len(top) + 1 :] + "/" if folder != top else ""
        for name in [*files, *(name for name in links if name.startswith("."))]:
            path = Path(folder) / name
            if name.startswith(".") and name.endswith(".tmp"):  # of a process that was killed
                path.unlink(missing_ok=True)
                continue
            unit = below + name[:-5]
            if (
                name.endswith(".json")
                and unit not in units
                and not stage.stays(unit)
                and not path.is_symlink()
                and not name.startswith(".")
            ):
                _set_outdated(plan, path)


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
