"""A frozen model in a folder: the artifacts that predictions need, without any patient, for use elsewhere.

``manifest.json`` lists the artifacts with their digests, ``config.json`` holds the settings, and each artifact lies at
``<stage>/<unit>``.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from nephroscale.engine.stage import NamedInput, PlanView, Stage
from nephroscale.errors import NephroscaleError
from nephroscale.json_text import JSON, pretty_json
from nephroscale.store.digest import digest_file, digest_tree
from nephroscale.store.receipts import Receipt
from nephroscale.store.records import Made, now

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nephroscale.engine.plan import Plan

FORMAT = 1
MANIFEST, CONFIG = "manifest.json", "config.json"
#: The stages that new patients pass through; the artifacts of all others come with the package.
RUN = ("register", "tiles", "glomeruli", "tem", "features", "predict")


@dataclass(frozen=True)
class Package:
    """A frozen model.

    Attributes
    ----------
    folder
        Where it lies.
    about
        The manifest's entries for people: model, classes, modalities.
    artifacts
        ``stage/unit`` to the digest of the artifact.
    ranges
        Ranges of the training images, for warnings: modality to quantity to lowest and highest value.
    config
        Digest of the settings.
    """

    folder: Path
    about: Mapping[str, JSON]
    artifacts: Mapping[str, str]
    ranges: Mapping[str, Mapping[str, tuple[float, float]]]
    config: str

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the manifest.

        Raises
        ------
        NephroscaleError
            When the folder is no package of this format.
        """
        try:
            content: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
            if content.pop("format") != FORMAT:
                raise ValueError("another format")
            return cls(folder, **content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise NephroscaleError(
                "This folder is not a packaged model of this version.",
                where=str(folder / MANIFEST),
                fix="Name a folder that `nephroscale package` wrote.",
            ) from error

    def write(self) -> None:
        """Write the manifest."""
        (self.folder / MANIFEST).write_text(
            pretty_json({"format": FORMAT, **{key: value for key, value in vars(self).items() if key != "folder"}}),
            encoding="utf-8",
        )

    def units(self, stage: str) -> list[str]:
        """The units of a stage whose artifacts the package holds."""
        return [name.partition("/")[2] for name in self.artifacts if name.partition("/")[0] == stage]

    def settings(self) -> dict[str, Any]:
        """The configuration of the predictions, without tables and places.

        Raises
        ------
        NephroscaleError
            When the file was changed.
        """
        if digest_file(self.folder / CONFIG) != self.config:
            raise self._changed(CONFIG)
        settings: dict[str, Any] = json.loads((self.folder / CONFIG).read_bytes())
        return settings

    def publish(self, plan: Plan) -> None:
        """Copy the artifacts into the store of a plan that uses the package, and record what they are.

        Raises
        ------
        NephroscaleError
            When an artifact is missing or was changed.
        """
        for name, digest in self.artifacts.items():
            stage, _, unit = name.partition("/")
            if plan.look_up(plan.stages[stage], unit):
                continue
            recipe, source = plan.recipe(stage, unit), self.folder / name
            assert recipe is not None, name
            if not source.exists() or digest_tree(source)[0] != digest:
                raise self._changed(name)
            with plan.store.scratch() as scratch:
                (shutil.copytree if source.is_dir() else shutil.copyfile)(source, scratch / "out")
                published = plan.store.publish(scratch / "out")
            time = now()
            made: Made = {"started": time, "run": time, "seconds": 0.0, "node": "package", "device": "package"}
            plan.records.add(recipe, Receipt(stage, unit, "accepted", **published._asdict()), made)

    def _changed(self, name: str) -> NephroscaleError:
        return NephroscaleError(
            "A file of the packaged model is missing or was changed.",
            where=str(self.folder / name),
            fix="Copy the package again.",
        )


class PackagedStage(Stage):
    """A stage whose artifacts come with a package; nothing is computed for it."""

    package: Package

    def units(self, plan: PlanView) -> list[str]:  # noqa: ARG002
        """The units that the package has."""
        return self.package.units(self.name)

    def files(self, plan: PlanView, unit: str) -> dict[str, str] | None:  # noqa: ARG002
        """The digest of the artifact."""
        return {"package": self.package.artifacts[f"{self.name}/{unit}"]}


def with_package(stages: Mapping[str, Stage], package: Package) -> dict[str, Stage]:
    """Replace every stage whose artifacts are in a package: it has the package's units and no inputs."""
    return {name: stage if name in RUN else _given(stage, package) for name, stage in stages.items()}


def _given(stage: Stage, package: Package) -> Stage:
    inputs = {name: NamedInput(lambda *_: None, (), None) for name in stage.inputs}
    same = {name: getattr(stage, name) for name in ("name", "rule", "pattern", "suffix")}
    kind: type[PackagedStage] = type("PackagedStage", (PackagedStage,), {**same, **inputs, "package": package})
    return kind()
