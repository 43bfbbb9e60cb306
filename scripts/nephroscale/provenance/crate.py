"""The audit as a Workflow Run RO-Crate, at the level of the Provenance Run Crate profile 0.5."""

from __future__ import annotations

import json
import mimetypes
import shutil
from typing import TYPE_CHECKING, Any

import orjson
from rocrate.rocrate import ROCrate

from nephroscale.provenance.crate_actions import Actions
from nephroscale.provenance.crate_entities import Entities, base_address, times
from nephroscale.store.digest import digest_file, list_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rocrate.model.contextentity import ContextEntity
    from rocrate.model.data_entity import DataEntity

METADATA = "ro-crate-metadata.json"
WORKFLOW = "workflow/Snakefile"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
# The one term of the workflow-run vocabulary that is used; declared here, so that a reader fetches no second context.
TERMS = {"resourceUsage": "https://w3id.org/ro/terms/workflow-run#resourceUsage"}
# RO-Crate wants a licence, and a workflow cannot give one on behalf of those who hold the images.
LICENCE = "No licence is granted by this crate. Those who hold the images decide how it and its data may be used."
ENGINE = "https://snakemake.github.io/"


def write_crate(document: dict[str, Any], workflow: Path, out: Path, ready: Callable[[], object] = lambda: None) -> int:
    """Write the metadata of a crate into the folder of the audit, beside what is there.

    Artifacts stay in the store: the crate names them, with digest and size, and says how each was made. It carries the
    other files of the audit and a copy of the workflow's rules. All times are the records'; equal documents give equal
    bytes.

    Parameters
    ----------
    document
        The audit (see :func:`nephroscale.provenance.document.make_document`).
    workflow
        Folder of the Snakefile and its ``rules``, to be copied as they are now.
    out
        Folder of the audit; ``ro-crate-metadata.json``, ``workflow`` and, where there is a report, ``metrics.json``
        are written.
    ready
        Called once all that can be is described, and before the files that lie in the folder are listed: returns when
        they are there.

    Returns
    -------
    int
        Number of actions; 0 where no record tells of any: then nothing is written, since a crate of this profile
        describes a run.
    """
    if not any(entry["recipe"] for entry in document["artifacts"]):
        ready()
        return 0
    _copy_workflow(workflow, out)
    if document["metrics"] is not None:
        text = json.dumps(document["metrics"], sort_keys=True, indent=2, ensure_ascii=False)
        (out / "metrics.json").write_text(text + "\n", encoding="utf-8")
    crate = ROCrate(version="1.1")
    crate.metadata.extra_terms.update(TERMS)
    entities = Entities(crate, base_address(document))
    main = _main_workflow(crate, out)
    actions = Actions(document, entities, [_artifact(entities, document, entry) for entry in document["artifacts"]])
    runs = _runs(document, entities, actions, main)
    crate.root_dataset["mentions"] = [*runs, *actions]
    _describe(document, entities, actions)
    ready()
    _carried_files(entities, out)
    _write(crate, out / METADATA)
    return sum(1 for _ in actions)


def _copy_workflow(workflow: Path, out: Path) -> None:
    (out / WORKFLOW).parent.joinpath("rules").mkdir(parents=True)
    for path in [workflow / "Snakefile", *sorted((workflow / "rules").glob("*.smk"))]:
        shutil.copyfile(path, out / "workflow" / path.relative_to(workflow))


def _main_workflow(crate: ROCrate, out: Path) -> DataEntity:
    return crate.add_workflow(
        out / WORKFLOW,
        WORKFLOW,
        main=True,
        lang="snakemake",
        properties={
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            "name": "nephroscale",
            "description": "From raw renal-biopsy images to a trained and evaluated network; the workflow's rules as "
            "they were when the audit was written.",
        },
    )


def _carried_files(entities: Entities, out: Path) -> None:
    """Every file that lies in the folder, with its size and digest."""
    for name, stat in list_files(out):
        entity = entities.crate.get(name) or entities.data(name, "File", name=name)
        entity["contentSize"] = str(stat.st_size)
        entity["encodingFormat"] = _media_type(name)
        entity["identifier"] = entities.digest(digest_file(out / name))


def _artifact(entities: Entities, document: dict[str, Any], entry: dict[str, Any]) -> DataEntity | None:
    """The object of one artifact; None where it was rejected."""
    if entry["digest"] is None:
        return None
    suffix = next(stage["suffix"] for stage in document["stages"] if stage["name"] == entry["stage"])
    path = (entry["stage"] if entry["unit"] == "cohort" else entry["name"]) + suffix
    folder = entry["kind"] == "directory"
    return entities.data(
        entities.place(path + ("/" if folder else "")),
        "Dataset" if folder else "File",
        name=entry["name"],
        identifier=entities.digest(entry["digest"], folder=folder),
        contentSize=str(entry["size"]),
        encodingFormat=_media_type(path) if suffix else None,
        creativeWorkStatus=entry["state"],
        description="; ".join(entry["because"]) or None,
    )


def _media_type(path: str) -> str:
    if path.endswith(".zarr"):
        return "application/vnd.zarr"
    if path.endswith((".smk", "Snakefile")):
        return "text/x-python"
    return mimetypes.guess_type(path, strict=True)[0] or "application/octet-stream"


def _runs(document: dict[str, Any], entities: Entities, actions: Actions, main: DataEntity) -> list[ContextEntity]:
    """The workflow's steps, and each run of it: the engine's action, the steps' actions, and the whole."""
    engine = entities.context(ENGINE, "SoftwareApplication", name="Snakemake", url=ENGINE)
    steps = {
        stage["name"]: entities.context(
            f"#step-{stage['name']}",
            "HowToStep",
            name=stage["name"],
            description=f"Rule {stage['rule']}.",
            position=str(position),
            workExample=list(actions.tools[stage["name"]].values()),
        )
        for position, stage in enumerate(document["stages"], start=1)
        if stage["name"] in actions.tools
    }
    main["step"] = list(steps.values())
    main["hasPart"] = [tool for tools in actions.tools.values() for tool in tools.values()]
    found = []
    for name, run in sorted(actions.runs.items()):
        label = name or "unnamed"
        whole = entities.context(
            f"#workflow-run-{label}",
            "CreateAction",
            name=f"Run {label} of the workflow",
            description=f"{sum(map(len, run.by_stage.values()))} jobs of this run made what is in these results.",
            instrument=main,
            startTime=run.start,
            endTime=run.end,
            # What came from outside, and what nothing in the run went on to use.
            object=[{"@id": each} for each in run.consumed if each not in run.produced],
            result=[{"@id": each} for each in run.produced if each not in run.consumed],
        )
        controls = [
            entities.context(
                f"#step-{stage}-of-{label}",
                "ControlAction",
                name=f"Stage {stage} of run {label}",
                instrument=steps[stage],
                object=jobs,
            )
            for stage, jobs in run.by_stage.items()
        ]
        entities.context(
            f"#engine-run-{label}",
            "OrganizeAction",
            name=f"Snakemake in run {label}",
            instrument=engine,
            object=controls,
            result=whole,
        )
        found.append(whole)
    return found


def _describe(document: dict[str, Any], entities: Entities, actions: Actions) -> None:
    crate, count = entities.crate, len(document["artifacts"])
    rejected = sum(entry["status"] == "rejected" for entry in document["artifacts"])
    lines = [
        f"How {count} artifacts were made, {rejected} of them rejected; runs of the workflow: {len(actions.runs)}.",
        *document["headline"],
    ]
    crate.name = document["title"]
    crate.description = "\n".join(lines)
    crate.license = LICENCE
    newest = max(times(entry["made"])[1] for entry in document["artifacts"] if entry["made"])
    crate.root_dataset["datePublished"] = newest
    crate.root_dataset["conformsTo"] = [
        entities.context(identifier, "CreativeWork", name=name, version=version)
        for identifier, (name, version) in PROFILES.items()
    ]


def _write(crate: ROCrate, path: Path) -> None:
    """One entity a line: a tenth of the indented file's lines, and still readable with grep and jq."""
    content = crate.metadata.generate()
    lines = ",\n".join(_encode(entity) for entity in content["@graph"])
    context = _encode(content["@context"])
    path.write_text(f'{{"@context": {context},\n"@graph": [\n{lines}\n]}}\n', encoding="utf-8")


def _encode(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
