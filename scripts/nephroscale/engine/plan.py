"""The plan: which artifacts a configuration needs, what decides each, and which of them exist."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from nephroscale.cohort.cohort import Cohort
from nephroscale.cohort.image import Image
from nephroscale.cohort.tables import load_cohort
from nephroscale.collect import Kept
from nephroscale.engine.batches import batch_name
from nephroscale.engine.config import Config, load_config
from nephroscale.engine.environment import numerical_environment, package_versions
from nephroscale.engine.forced import Forced
from nephroscale.engine.package import CONFIG, MANIFEST, Package, with_package
from nephroscale.engine.raw_cache import RawCache
from nephroscale.engine.results_folder import ResultsFolder
from nephroscale.engine.stage import RECEIPT, STATUS, Need, Stage
from nephroscale.places import PACKAGE, scripts_folder, workflow_folder
from nephroscale.store.code import Closure, Code, ParsedSources
from nephroscale.store.digest import digest_json
from nephroscale.store.objects import Store
from nephroscale.store.receipts import Receipt, read_receipt
from nephroscale.store.recipe import Recipe
from nephroscale.store.records import Records
from nephroscale.store.test_set_exposure import ExposureLedger, ScoredTestSet

T = TypeVar("T")
# If more artifacts than this are there, Snakemake learns only of those that are missing: it needs about a millisecond
# for each artifact to find that there is nothing to do.
WHOLE_PLAN = 5_000
# Subpackages whose code decides where artifacts go and which are made, but not what is in them: their effect enters a
# recipe as values (rows, settings, inputs), so an edit of them recomputes nothing.
NOT_IN_RECIPES = (
    "nephroscale.store",
    "nephroscale.engine",
    "nephroscale.stages.registry",
    "nephroscale.settings",
    "nephroscale.errors",
    "nephroscale.places",
    "nephroscale.digest_on_write",
    "nephroscale.cli",
)


class Plan(ResultsFolder):
    """A configuration, its cohort, and the state of every artifact it asks for.

    Parameters
    ----------
    config
        As Snakemake read it; defaults are filled in.
    stages
        Every stage by name, in the order in which data flows.
    scripts
        The folder of the jobs' scripts; tests of edited code name another one.
    check_files
        Whether to look for every raw file of the tables: once for a run, not in every job.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | Config,
        stages: Mapping[str, Stage],
        *,
        scripts: Path | None = None,
        check_files: bool = False,
    ) -> None:
        self.config = load_config(config.to_mapping() if isinstance(config, Config) else config)
        self.cohort: Cohort = load_cohort(
            self.config.data,
            self.config.task,
            self.config.folds,
            self.config.predict,
            stains=self.config.om.stains,
            panel=self.config.im.panel,
            check_files=check_files,
        )
        package = self.config.predict.package
        #: The packaged model that predicts, or None if the networks of the study do.
        self.package = Package.read(Path(package)) if package else None
        stages = with_package(stages, self.package) if self.package else stages
        super().__init__(Path(self.config.results), stages)
        self.scripts = scripts or scripts_folder()
        self.workflow = scripts.parent / "workflow" if scripts else workflow_folder()
        store = self.config.store
        self.store = Store(Path(store.path), store.mode, verify_on_read=store.verify_on_read)
        self.records = Records(self.store)
        self.ledger = ExposureLedger(self.store)
        self.raw_cache = RawCache(self.store)
        self._parsed = ParsedSources(self.store.path / "code")
        self.read_code()
        self.forget()

    def forget(self) -> None:
        """Forget what is known of artifacts."""
        self.forced = Forced.from_environment()
        #: Whether the pre-pass has brought every receipt to what is known.
        self.settled = False
        #: The receipts of artifacts whose objects are lost or damaged: what they have to come out as again.
        self.lost: dict[tuple[str, str], Receipt] = {}
        #: Those of them that an artifact which stays was made from. What is to be made waits for these by itself.
        self.bypassed: set[tuple[str, str]] = set()
        self._content_lost = False
        self._receipts: Kept[tuple[str, str], Receipt | None] = Kept(lambda key: read_receipt(self.receipt_name(*key)))
        self._receipt_digests: dict[tuple[str, str], tuple[Receipt, str]] = {}
        self._objects: Kept[tuple[Path, Callable[[Any], Any]], Any] = Kept(
            lambda key: key[1](json.loads(key[0].read_bytes()))
        )
        self._digests: dict[tuple[str, str], str] = {}
        self._test_set_uses: dict[tuple[str, str], ScoredTestSet] = {}
        self._units: Kept[str, list[str]] = Kept(
            lambda stage: [*self.study_units(stage), *self.stages[stage].new_units(self)]
        )
        self._study_units: Kept[str, list[str]] = Kept(lambda stage: self.stages[stage].units(self))
        self._loose_ends: dict[tuple[str, ...], list[Need]] = {}
        self._upstream: dict[tuple[str, str], list[tuple[str, str]]] = {}

    def afresh(self) -> Plan:
        """The same tables and code, without what is known of artifacts: for the next job of a process."""
        other = copy(self)
        other.forget()
        return other

    def read_code(self) -> None:
        """Read the code that is part of recipes, as its files are now."""
        package = self.scripts / "nephroscale"
        self.code = Code(self.scripts, package if package.is_dir() else PACKAGE, NOT_IN_RECIPES, self._parsed.read)

    def keep_parsed_code(self) -> None:
        """Store what was parsed, so that later processes need not parse it again."""
        if self._parsed.grown:
            self.store.write_text(self._parsed.path, self._parsed.text(), replace=True)
            self._parsed.grown = False

    def tables(self) -> list[Path]:
        """The files that list patients, images, instruments and readers."""
        data, predict = self.config.data, self.config.predict
        named = (data.patients, data.images, data.instruments, data.readers, predict.patients, predict.images)
        package = (self.package.folder / name for name in (MANIFEST, CONFIG)) if self.package else ()
        return [*(Path(name) for name in named if name), *package]

    # -- patients and images -------------------------------------------------------------------------------------------

    @cached_property
    def patients(self) -> list[str]:
        """Patients whose images are processed: those for diagnosis, and external ones."""
        return [
            p.id for p in self.cohort.patients.values() if p.use in {"diagnosis", "external"} and p.status == "eligible"
        ]

    @cached_property
    def new_patients(self) -> list[str]:
        """Patients of the table `predict.patients`. Only `predict` depends on their images."""
        return [p.id for p in self.cohort.patients.values() if p.use == "new"]

    @cached_property
    def batch(self) -> str:
        """The name of the batch of new patients."""
        return batch_name(self)

    @cached_property
    def segmentation_patients(self) -> list[str]:
        """Patients set apart: their outlined slides train the segmenters, their OM slides set the stain reference."""
        return [p.id for p in self.cohort.patients.values() if p.use == "segmentation"]

    def images(self, patient: str, *modalities: str) -> list[Image]:
        """The images of a patient that a model may read: OM by `om.stains`, IM by `im.panel`, all TEM."""
        return [
            image
            for modality in modalities
            for image in self.cohort.images_of(patient, modality)
            if modality == "TEM"
            or (modality == "OM" and image.stain in self.config.om.stains)
            or (modality == "IM" and image.marker in self.config.im.panel)
        ]

    @cached_property
    def modalities(self) -> list[str]:
        """The modalities that any model of the configuration reads; a patient needs all of them."""
        read = {name for model in self.config.models.values() for name in model.modalities}
        return [name for name in ("TEM", "OM", "IM") if name in read]

    # -- units --------------------------------------------------------------------------------------------------

    def stages_before(self, stage: str) -> list[str]:
        """The stages before one, in order."""
        names = list(self.stages)
        return names[: names.index(stage)]

    def units(self, stage: str) -> list[str]:
        """The units of a stage, those of new patients after the others."""
        return self._units[stage]

    def study_units(self, stage: str) -> list[str]:
        """The units of a stage that belong to the study, and therefore to `all`, the report and the audit."""
        return self._study_units[stage]

    def loose_ends(self, *stages: str) -> list[Need]:
        """Units of the study in some stages that no other of them waits for: to wait for these is to wait for all."""
        if stages not in self._loose_ends:
            keys = self.loose_ends_of((name, unit) for name in stages for unit in self.study_units(name))
            self._loose_ends[stages] = [Need(*key) for key in keys]
        return self._loose_ends[stages]

    def loose_ends_of(self, keys: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those of some stages and units that no other one of them waits for."""
        wanted = dict.fromkeys(keys)
        needed = {each for key in wanted for each in self.upstream(*key)}
        return [key for key in wanted if key not in needed]

    def upstream(self, stage: str, unit: str) -> list[tuple[str, str]]:
        """The stages and units whose receipts a unit's rule waits for."""
        key = (stage, unit)
        if key not in self._upstream:
            self._upstream[key] = [each[:2] for each in self.stages[stage].upstream(self, unit)]
        return self._upstream[key]

    def is_settled(self, key: tuple[str, str]) -> bool:
        """Whether the pre-pass has found the artifact of a stage and unit in the store."""
        return self.settled and self._receipts.get(key) is not None

    @cached_property
    def leaves_out_settled(self) -> bool:
        """Whether so many artifacts are there that Snakemake learns only of the missing ones."""
        return self.settled and sum(receipt is not None for receipt in self._receipts.values()) > WHOLE_PLAN

    # -- the state of artifacts -----------------------------------------------------------------------------------

    def receipt(self, stage: str, unit: str) -> Receipt | None:
        """The present receipt of a unit, or None if it is not made."""
        return self._receipts[stage, unit]

    def set_receipt(self, stage: str, unit: str, receipt: Receipt | None) -> None:
        """Set the receipt of a unit before it is written (used by the pre-pass)."""
        self._receipts[stage, unit] = receipt

    def object_path(self, stage: str, unit: str) -> Path | None:
        """The object of a unit, or None if there is none."""
        receipt = self.receipt(stage, unit)
        self._content_lost |= receipt is None and (stage, unit) in self.lost
        return self.store.object_path(receipt.digest) if receipt and receipt.digest else None

    def object_json(self, stage: str, unit: str, file: str = "") -> Any:
        """The content of a JSON object (or of one JSON file in a directory object), or None if there is none."""
        return self.read_object(stage, unit, _as_it_is, file)

    def read_object(self, stage: str, unit: str, parse: Callable[[Any], T], file: str = "") -> T | None:
        """The same, parsed; each object is read and parsed once."""
        path = self.object_path(stage, unit)
        if path is None:
            return None
        parsed: T = self._objects[path / file if file else path, parse]
        return parsed

    def examine(self, stage: Stage, unit: str, *, lost: bool = False) -> Recipe | Receipt | None:
        """Find out what a unit's artifact is made from.

        Parameters
        ----------
        stage, unit
            The unit.
        lost
            Whether an artifact counts by its receipt although its object is lost.

        Returns
        -------
        Recipe
            When everything that decides it is known.
        Receipt
            When a rejected input has already decided that it is rejected.
        None
            When something that it depends on is not made yet.
        """
        inputs: dict[str, str] = {}
        for need in stage.needs(self, unit):
            receipt = self.receipt(need.stage, need.unit)
            if receipt is None and lost:
                receipt = self.lost.get((need.stage, need.unit))
            if receipt is None:
                return None
            if need.part == STATUS:
                inputs[need.label] = receipt.status + (f": {receipt.reason}" if receipt.reason else "")
            elif need.part == RECEIPT:
                inputs[need.label] = self.receipt_digest(need.stage, need.unit, receipt)
            elif receipt.accepted:
                inputs[need.label] = receipt.parts.get(need.part, "absent") if need.part else str(receipt.digest)
            elif need.optional:
                inputs[need.label] = f"rejected: {receipt.reason}"
            else:
                return _inherited(stage, unit, need, receipt)
        files = stage.files(self, unit)
        return None if files is None else self.recipe_with(stage, unit, stage.rows(self, unit), {**inputs, **files})

    def recipe_with(self, stage: Stage, unit: str, rows: object, inputs: Mapping[str, str]) -> Recipe:
        """The recipe of a unit with given rows and inputs, which may not be known."""
        closure = self.closure(stage, unit)
        return Recipe(
            stage=stage.name,
            format=stage.format,
            code=closure.code,
            packages=package_versions(closure.imports),
            settings=stage.settings(self, unit).to_mapping(),
            rows=rows,
            inputs=inputs,
            seed=self.config.seed if stage.seeded else None,
            compute=numerical_environment(self.config.compute, on_device=stage.on_device),
        )

    def closure(self, stage: Stage, unit: str) -> Closure:
        """The code that makes a unit, and what it imports."""
        return self.code.closure(f"{stage.rule}.py", stage.modules(self, unit))

    def look_up(self, stage: Stage, unit: str) -> Receipt | None:
        """The receipt of a unit by its recipe, or None if the recipe or the object does not exist yet.

        A unit stays known while an artifact that it was made from is lost: the recipe names its digest, not its bytes.
        This does not hold where the recipe follows from the content of the lost object, nor for a stage that describes
        how everything was made, since to make the lost artifact again adds to that.
        """
        if self.lost and stage.reads_records:
            return None
        self._content_lost = False
        found = self.examine(stage, unit, lost=True)
        if self._content_lost:
            return None
        return self.known(stage, unit, found) if isinstance(found, Recipe) else found

    def known(self, stage: Stage, unit: str, recipe: Recipe) -> Receipt | None:
        """The receipt recorded for a recipe, or None if the unit is to be recomputed or its object does not exist."""
        self._digests[stage.name, unit] = recipe.digest
        if (stage.name, unit) in self.forced:
            return None
        record = self.records.read(recipe.digest)
        if record is None:
            return None
        receipt = record.receipt
        # The same recipe may serve several units (a slide under two names): the receipt has the name that is asked for.
        if (receipt.stage, receipt.unit) != (stage.name, unit):
            receipt = replace(receipt, stage=stage.name, unit=unit)
        if receipt.digest and not self.store.has(receipt.digest):
            self.lost[stage.name, unit] = receipt
            return None
        return receipt

    def recipe(self, stage: str, unit: str) -> Recipe | None:
        """The recipe of a unit, or None if something that decides it is not known yet."""
        found = self.examine(self.stages[stage], unit, lost=True)
        return found if isinstance(found, Recipe) else None

    def recipe_digest(self, stage: str, unit: str) -> str | None:
        """The digest of a unit's recipe, or None if something that decides it is not known yet."""
        if (stage, unit) not in self._digests and (recipe := self.recipe(stage, unit)):
            self._digests[stage, unit] = recipe.digest
        return self._digests.get((stage, unit))

    def test_set_use(self, stage: str, unit: str) -> ScoredTestSet | None:
        """Which configuration a unit scores on which test patients; None if it scores none or this is unknown."""
        key = (stage, unit)
        if key not in self._test_set_uses and (use := self.stages[stage].test_set_use(self, unit)):
            self._test_set_uses[key] = use
        return self._test_set_uses.get(key)

    def recall(
        self, key: tuple[str, str], receipt: Receipt, digest: str, recipe: str | None, use: ScoredTestSet | None
    ) -> None:
        """Set what is known of a unit whose recipe need not be worked out again.

        Parameters
        ----------
        key
            Stage and unit.
        receipt, digest
            Its receipt, and the digest of that.
        recipe
            The digest of its recipe; None where a rejected input had decided.
        use
            Which configuration it scores on which test patients.
        """
        self._receipt_digests[key] = (receipt, digest)
        if recipe:
            self._digests[key] = recipe
        if use:
            self._test_set_uses[key] = use

    def receipt_digest(self, stage: str, unit: str, receipt: Receipt) -> str:
        """The digest of a whole receipt, kept because several stages need it."""
        before = self._receipt_digests.get((stage, unit))
        if before is None or before[0] is not receipt:
            before = self._receipt_digests[stage, unit] = (receipt, digest_json(receipt.as_json()))
        return before[1]


def _as_it_is(content: Any) -> Any:
    return content


def _inherited(stage: Stage, unit: str, need: Need, receipt: Receipt) -> Receipt:
    """The receipt of a unit whose input was rejected. It names the artifact that was rejected first."""
    if "because" in receipt.figures:
        return Receipt(stage.name, unit, "rejected", receipt.reason, figures=receipt.figures)
    return Receipt(
        stage.name,
        unit,
        "rejected",
        f"{need.stage} of {need.unit}: {receipt.reason}",
        figures={"because": f"{need.stage}/{need.unit}"},
    )
