"""The plan: which artifacts a configuration asks for, what decides each, and which of them are already there."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nephroscale.cohort.config import load_config
from nephroscale.cohort.tables import load_cohort
from nephroscale.engine.raw_cache import RawCache
from nephroscale.engine.stage import Need
from nephroscale.errors import NephroscaleError
from nephroscale.models.registry import COMMON, READS
from nephroscale.stages.registry import stage_table
from nephroscale.store.digest import digest_json
from nephroscale.store.objects import Store
from nephroscale.store.receipts import Receipt, raise_time, read_receipt, settle_receipt, unlink_receipt
from nephroscale.store.recipe import Code, instruction_set
from nephroscale.store.records import Records, now
from nephroscale.store.results_index import register_results
from nephroscale.store.test_set_exposure import ExposureLedger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nephroscale.cohort.tables import Cohort, Image
    from nephroscale.engine.stage import Stage

SCRIPTS = Path(__file__).resolve().parents[2]
# Where more artifacts than this are settled, Snakemake is told of those alone that are still to be made: it takes
# about a millisecond to find out of each that there is nothing to do.
WHOLE_PLAN = 5_000


class Recipe(dict[str, Any]):
    """The parts of a recipe."""

    @cached_property
    def digest(self) -> str:
        """Its name."""
        return digest_json(self)


class Plan:
    """A configuration, its cohort, and the state of every artifact it asks for.

    Parameters
    ----------
    config
        As Snakemake read it; defaults are filled in.
    scripts
        The folder of scripts; another than the own one in tests of edited code.
    check_files
        Look whether every raw file of the tables is there: once for a run, not in every job.
    """

    def __init__(self, config: Mapping[str, Any], *, scripts: Path = SCRIPTS, check_files: bool = False) -> None:
        self.config = load_config(dict(config), READS, COMMON)
        self.cohort: Cohort = load_cohort(self.config, check_files=check_files)
        self.scripts = scripts
        self.results = Path(self.config["results"])
        self._results = str(self.results)
        store = self.config["store"]
        self.store = Store(Path(store["path"]), store["mode"], verify_on_read=store["verify_on_read"])
        self.records = Records(self.store)
        self.raw_cache = RawCache(self.store)
        self.stages = stage_table()
        self.code = Code(scripts)
        if self.config["recompute"] and self.config["recompute"] not in self.stages:
            raise NephroscaleError(
                f"There is no stage {self.config['recompute']!r} to recompute.",
                where="--config recompute=STAGE",
                todo=f"Choose one of {', '.join(self.stages)}.",
            )
        self._receipts: dict[tuple[str, str], Receipt | None] = {}
        self._receipt_digests: dict[tuple[str, str], tuple[Receipt, str]] = {}
        self._settled = False
        self._times: dict[tuple[str, str], int] = {}
        self._objects: dict[str, Any] = {}
        self._digests: dict[tuple[str, str], str] = {}

    # -- who takes part -------------------------------------------------------------------------------------------

    @cached_property
    def patients(self) -> list[str]:
        """Patients whose images are processed: those to diagnose, and those outside that are scored once."""
        return [
            p.id for p in self.cohort.patients.values() if p.use in {"diagnosis", "external"} and p.status == "eligible"
        ]

    @cached_property
    def new_patients(self) -> list[str]:
        """Patients of the table `predict.patients`: their images are processed like others, for `predict` alone."""
        return [p.id for p in self.cohort.patients.values() if p.use == "new"]

    @cached_property
    def segmentation_patients(self) -> list[str]:
        """Patients set apart: their annotated slides train the segmenter and set the stain reference."""
        return [p.id for p in self.cohort.patients.values() if p.use == "segmentation"]

    def images(self, patient: str, modality: str) -> list[Image]:
        """The images of a patient that may serve: OM by `om.stains`, IM by `im.panel`, all TEM."""
        wanted = {"OM": self.config["om"]["stains"], "IM": self.config["im"]["panel"], "TEM": None}[modality]
        found = self.cohort.images_of(patient, modality)
        return [i for i in found if wanted is None or (i.stain if modality == "OM" else i.marker) in wanted]

    @cached_property
    def modalities(self) -> list[str]:
        """The modalities that any model of the configuration reads; a patient needs all of them."""
        asked = {name for model in self.config["models"].values() for name in model["modalities"]}
        return [name for name in ("TEM", "OM", "IM") if name in asked]

    # -- places ---------------------------------------------------------------------------------------------------

    def receipt_path(self, stage: str, unit: str) -> Path:
        """The file that the stage's rule outputs for a unit."""
        return Path(self._receipt_name(stage, unit))

    def link_path(self, stage: str, unit: str) -> Path:
        """The link to the object, beside the receipt."""
        suffix = self.stages[stage].suffix
        return Path(
            f"{self._results}/{stage}{suffix}" if unit == "cohort" else f"{self._results}/{stage}/{unit}{suffix}"
        )

    def log_path(self, stage: str, unit: str) -> Path:
        """The file that a job's output goes to."""
        return self.results / "logs" / stage / f"{unit}.log"

    def benchmark_path(self, stage: str, unit: str) -> Path:
        """The file in which Snakemake notes a job's time and memory."""
        return Path(f"{self._results}/benchmarks/{stage}/{unit}.tsv")

    def raw_folder(self, image: Image) -> Path:
        """Where the id-named links to an image's raw files are."""
        return self.results / "raw" / image.id

    def receipt_paths(self, *stages: str, new: bool = False) -> list[str]:
        """The receipts of every unit of some stages and of all stages that they depend on.

        Those of patients who are only predicted are among them with ``new`` alone. Where very many are settled, only
        those that nothing else unsettled waits for, and the last one of all: what is left out is there, or is asked for
        by one that is not.
        """
        units = self.units if new else self.study_units
        wanted: set[str] = set()
        pending = list(stages)
        while pending:
            name = pending.pop()
            if name not in wanted:
                wanted.add(name)
                pending += self.stages[name].after
        keys = [(name, unit) for name in self.stages if name in wanted for unit in units(name)]
        if self._leaves_out_settled:
            keys = self._loose_ends(key for key in keys if not self._is_settled(key)) or keys[-1:]
        return [self._receipt_name(*key) for key in keys]

    def receipts_before(self, stage: str, unit: str) -> list[str]:
        """The receipts that a unit's job waits for; where very many are settled, only the others."""
        keys = [(need.stage, need.unit) for need in self.stages[stage].upstream(self, unit)]
        if self._leaves_out_settled:
            keys = [key for key in keys if not self._is_settled(key)]
        return [self._receipt_name(*key) for key in keys]

    def loose_ends(self, *stages: str) -> list[Need]:
        """The units of the study in some stages that no other one waits for: who waits for them waits for all."""
        keys = ((name, unit) for name in stages for unit in self.study_units(name))
        return [Need(*key) for key in self._loose_ends(keys)]

    def _loose_ends(self, keys: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        wanted = dict.fromkeys(keys)
        needed = {(need.stage, need.unit) for name, unit in wanted for need in self.stages[name].upstream(self, unit)}
        return [key for key in wanted if key not in needed]

    def _is_settled(self, key: tuple[str, str]) -> bool:
        return self._settled and self._receipts.get(key) is not None

    @cached_property
    def _leaves_out_settled(self) -> bool:
        return self._settled and sum(receipt is not None for receipt in self._receipts.values()) > WHOLE_PLAN

    def _receipt_name(self, stage: str, unit: str) -> str:
        """As :meth:`receipt_path`, for the many that Snakemake is told of."""
        return f"{self._results}/{stage}.json" if unit == "cohort" else f"{self._results}/{stage}/{unit}.json"

    def stages_before(self, stage: str) -> list[str]:
        """The stages that come before one, in order."""
        names = list(self.stages)
        return names[: names.index(stage)]

    def units(self, stage: str) -> list[str]:
        """The units of a stage, those of patients who are only predicted after the others."""
        if stage not in self._units:
            self._units[stage] = [*self.study_units(stage), *self.stages[stage].new_units(self)]
        return self._units[stage]

    def study_units(self, stage: str) -> list[str]:
        """The units of a stage that belong to the study, and therefore to `all`, the report and the audit."""
        if stage not in self._study_units:
            self._study_units[stage] = self.stages[stage].units(self)
        return self._study_units[stage]

    @cached_property
    def _units(self) -> dict[str, list[str]]:
        return {}

    @cached_property
    def _study_units(self) -> dict[str, list[str]]:
        return {}

    # -- the state of artifacts -----------------------------------------------------------------------------------

    def receipt(self, stage: str, unit: str) -> Receipt | None:
        """The receipt of a unit as it stands, or None where it is not made yet."""
        key = (stage, unit)
        if key not in self._receipts:
            self._receipts[key] = read_receipt(self._receipt_name(stage, unit))
        return self._receipts[key]

    def object_path(self, stage: str, unit: str) -> Path | None:
        """The object of a unit, or None where there is none."""
        receipt = self.receipt(stage, unit)
        return self.store.object_path(receipt.digest) if receipt and receipt.digest else None

    def object_json(self, stage: str, unit: str, file: str = "") -> Any:
        """The content of a JSON object (or of one JSON file in a directory object), or None where there is none."""
        path = self.object_path(stage, unit)
        if path is None:
            return None
        path = path / file if file else path
        key = str(path)
        if key not in self._objects:
            self._objects[key] = json.loads(path.read_bytes())
        return self._objects[key]

    def examine(self, stage: Stage, unit: str) -> Recipe | Receipt | None:
        """Find out what a unit's artifact is made from.

        Returns
        -------
        Recipe
            When everything that decides it is known.
        Receipt
            When a rejected need has already decided that it is rejected.
        None
            When something that it depends on is not made yet.
        """
        inputs: dict[str, str] = {}
        for need in stage.needs(self, unit):
            receipt = self.receipt(need.stage, need.unit)
            if receipt is None:
                return None
            if need.part == "status":
                inputs[need.label] = receipt.status + (f": {receipt.reason}" if receipt.reason else "")
            elif need.part == "receipt":
                inputs[need.label] = self._receipt_digest(need.stage, need.unit, receipt)
            elif receipt.accepted:
                inputs[need.label] = receipt.parts.get(need.part, "absent") if need.part else str(receipt.digest)
            elif need.optional:
                inputs[need.label] = f"rejected: {receipt.reason}"
            else:
                return _inherited(stage, unit, need, receipt)
        files = stage.files(self, unit)
        if files is None:
            return None
        code, packages = self.code.closure(f"{stage.rule}.py", stage.modules(self, unit))
        compute = self.config["compute"]
        return Recipe(
            stage=stage.name,
            format=stage.format,
            code=code,
            packages=packages,
            settings=stage.settings(self, unit),
            rows=stage.rows(self, unit),
            inputs={**inputs, **files},
            seed=self.config["seed"] if stage.seeded else None,
            compute={"threads": compute["threads"]}
            | ({"device": compute["device"], "instruction_set": self.instruction_set} if stage.torch else {}),
        )

    @cached_property
    def instruction_set(self) -> str:
        """The level at which torch computes here, or the one that the configuration pins."""
        return instruction_set(self.config["compute"]["instruction_set"])

    def look_up(self, stage: Stage, unit: str) -> Receipt | None:
        """The receipt that a unit has to have, where that is already known and its object is there."""
        found = self.examine(stage, unit)
        if found is None or isinstance(found, Receipt):
            return found
        self._digests[stage.name, unit] = found.digest
        if self.config["recompute"] == stage.name:
            return None
        receipt = self.records.look_up(found.digest)
        # The same recipe may serve several units (a slide under two names): the receipt bears the asker's name.
        if receipt is None or (receipt.stage, receipt.unit) == (stage.name, unit):
            return receipt
        return Receipt(**{**vars(receipt), "stage": stage.name, "unit": unit})

    def _receipt_digest(self, stage: str, unit: str, receipt: Receipt) -> str:
        """The digest of a whole receipt: asked for of every receipt by more than one stage."""
        before = self._receipt_digests.get((stage, unit))
        if before is None or before[0] is not receipt:
            before = self._receipt_digests[stage, unit] = (receipt, digest_json(receipt.as_json()))
        return before[1]

    def recipe_digest(self, stage: str, unit: str) -> str | None:
        """The digest of a unit's recipe, where everything that decides it is known."""
        if (stage, unit) not in self._digests:
            found = self.examine(self.stages[stage], unit)
            if found is None or isinstance(found, Receipt):
                return None
            self._digests[stage, unit] = found.digest
        return self._digests[stage, unit]

    # -- the pre-pass ---------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Bring every receipt and link to what is known now, before Snakemake plans.

        A known artifact gets its receipt, no older than those it depends on; an unknown one loses it, so that its job
        runs. Nothing is lost by that: objects stay in the store. While another run holds Snakemake's lock nothing is
        changed.
        """
        if snakemake_is_locked():
            return
        register_results(self.store, self.results)
        for name, stage in self.stages.items():
            script_time = (self.scripts / f"{stage.rule}.py").stat().st_mtime_ns
            units = self.units(name)
            for unit in units:
                self._settle_unit(stage, unit, script_time)
            self._unlink_others(name, set(units))
        self._settled = True

    def _settle_unit(self, stage: Stage, unit: str, script_time: int) -> None:
        key = (stage.name, unit)
        path, link = self.receipt_path(*key), self.link_path(*key)
        known = self.look_up(stage, unit)
        self._receipts[key] = known
        if known is None:
            unlink_receipt(path, link)
            return
        upstream = (self._times.get((need.stage, need.unit), 0) for need in stage.upstream(self, unit))
        not_before_ns = max(script_time, *upstream, 0)
        self.record_test_set_use(stage, unit, known)
        changed = settle_receipt(path, link, known, self.store, not_before_ns)
        if stage.name == "register" and (changed or not self._links_lead_to_raw(unit)):
            self.link_raw(unit)
        with suppress(FileNotFoundError):  # Snakemake takes a job's benchmark for one of its outputs
            raise_time(self.benchmark_path(*key), not_before_ns)
        self._times[key] = os.stat(path).st_mtime_ns  # noqa: PTH116

    def record_test_set_use(self, stage: Stage, unit: str, receipt: Receipt) -> None:
        """Keep that a unit has scored test patients, and when, by its record: so no look is lost that has left one."""
        if not receipt.accepted or not (look := stage.look(self, unit)):
            return
        record = self.records.read(self.recipe_digest(stage.name, unit) or "")
        ExposureLedger(self.store).note(look, record["made"]["started"] if record else now())

    def _unlink_others(self, stage: str, units: set[str]) -> None:
        """Take away receipts of units that the tables or the configuration no longer name, and half-written ones."""
        top = str(self.results / stage)
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
                        unlink_receipt(path, self.link_path(stage, below + name[:-5]))

    def _links_lead_to_raw(self, patient: str) -> bool:
        """Whether the links of a patient's plain raw files lead where the tables say; others are looked at closely."""
        for image in self.cohort.images_of(patient):
            link = f"{self.results}/raw/{image.id}/slide{image.path.suffix.lower()}"
            try:
                if image.annotation or not os.path.samestat(os.stat(link), os.stat(image.path)):  # noqa: PTH116
                    return False
            except OSError:
                return False
        return True

    def link_raw(self, patient: str) -> None:
        """Make the id-named links to a patient's raw files."""
        from nephroscale.slides.raw import link_raw

        for image in self.cohort.images_of(patient):
            link_raw(image.path, self.raw_folder(image))
            if image.annotation:
                link_raw(image.annotation, self.raw_folder(image) / "annotation")


def _inherited(stage: Stage, unit: str, need: Need, receipt: Receipt) -> Receipt:
    """The receipt of a unit whose need was rejected: it names the first cause, however far up that is."""
    if "because" in receipt.figures:
        return Receipt(stage.name, unit, "rejected", receipt.reason, figures=receipt.figures)
    reason = f"{need.stage} of {need.unit}: {receipt.reason}"
    return Receipt(stage.name, unit, "rejected", reason, figures={"because": f"{need.stage}/{need.unit}"})


def snakemake_is_locked() -> bool:
    """Whether another run of Snakemake works in this folder."""
    try:
        return any(os.scandir(".snakemake/locks"))
    except FileNotFoundError:
        return False


def export_package(scripts: Path) -> None:
    """Let jobs import the package that lies beside the workflow, wherever else one may be installed.

    The first process of a run also gives the run its name, which records keep.
    """
    os.environ.setdefault("NEPHROSCALE_RUN", now())
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(scripts)]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(scripts), *others])
