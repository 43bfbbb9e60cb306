"""The audit as a Workflow Run RO-Crate, at the level of the Provenance Run Crate profile 0.5."""

from __future__ import annotations

import json
import mimetypes
import shutil
from collections.abc import Callable
from pathlib import Path

import orjson
from rocrate.model.contextentity import ContextEntity
from rocrate.model.data_entity import DataEntity
from rocrate.rocrate import ROCrate

from nephroscale.provenance.crate_actions import Actions
from nephroscale.provenance.crate_entities import Entities, base_address, times
from nephroscale.provenance.document_types import ArtifactEntry, AuditDocument
from nephroscale.store.digest import digest_file, list_files

METADATA = "ro-crate-metadata.json"
WORKFLOW = "workflow/Snakefile"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
# The only term of the workflow-run vocabulary that is used, declared here so that readers need no second context.
TERMS = {"resourceUsage": "https://w3id.org/ro/terms/workflow-run#resourceUsage"}
# RO-Crate requires a licence, but a workflow cannot grant one for the owners of the images.
LICENCE = "This crate grants no licence. The owners of the images decide how it and its data may be used."
ENGINE = "https://snakemake.github.io/"


def write_crate(
    document: AuditDocument, workflow: Path, out: Path, wait_for_page: Callable[[], object] = lambda: None
) -> int:
    """Write the metadata of a crate into the folder of the audit.

    Artifacts stay in the store: the crate names them with digest and size, and describes how each was made. It contains
    the other files of the audit and a copy of the workflow's rules. All times are those of the records; equal documents
    give equal bytes.

    Parameters
    ----------
    document
        The audit (:func:`nephroscale.provenance.document.make_document`).
    workflow
        Folder of the Snakefile and its ``rules``, which are copied.
    out
        Folder of the audit; ``ro-crate-metadata.json``, ``workflow`` and, where there is a report, ``metrics.json``
        are written.
    wait_for_page
        Called before the files in the folder are listed; returns when the page is written.

    Returns
    -------
    int
        Number of actions. Without any record it is 0 and nothing is written, since a crate of this profile describes a
        run.
    """
    if not any(entry["recipe"] for entry in document["artifacts"]):
        wait_for_page()
        return 0
    _copy_workflow(workflow, out)
    if document["metrics"] is not None:
        (out / "metrics.json").write_text(
            json.dumps(document["metrics"], sort_keys=True, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    crate = ROCrate(version="1.1")
    crate.metadata.extra_terms.update(TERMS)
    entities = Entities(crate, base_address(document))
    main = crate.add_workflow(
        out / WORKFLOW,
        WORKFLOW,
        main=True,
        lang="snakemake",
        properties={
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            "name": "nephroscale",
            "description": "From raw renal-biopsy images to a trained and evaluated network; the workflow's rules at "
            "the time of the audit.",
        },
    )
    actions = Actions(document, entities, [_artifact(entities, document, entry) for entry in document["artifacts"]])
    crate.root_dataset["mentions"] = [*_runs(document, entities, actions, main), *actions]
    _describe(document, entities, actions)
    wait_for_page()
    _carried_files(entities, out)
    _write(crate, out / METADATA)
    return sum(1 for _ in actions)


def _copy_workflow(workflow: Path, out: Path) -> None:
    (out / WORKFLOW).parent.joinpath("rules").mkdir(parents=True)
    for path in [workflow / "Snakefile", *sorted((workflow / "rules").glob("*.smk"))]:
        shutil.copyfile(path, out / "workflow" / path.relative_to(workflow))


def _carried_files(entities: Entities, out: Path) -> None:
    """Describe every file in the folder with its size and digest."""
    for name, stat in list_files(out):
        entity = entities.crate.get(name) or entities.data(name, "File", name=name)
        entity["contentSize"] = str(stat.st_size)
        entity["encodingFormat"] = _media_type(name)
        entity["identifier"] = entities.digest(digest_file(out / name))


def _artifact(entities: Entities, document: AuditDocument, entry: ArtifactEntry) -> DataEntity | None:
    """Add the object of an artifact; None where it was rejected."""
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


def _runs(document: AuditDocument, entities: Entities, actions: Actions, main: DataEntity) -> list[ContextEntity]:
    """Add the steps of the workflow and, for each run, the actions of the engine, of the steps and of the whole."""
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
            description=f"{sum(map(len, run.by_stage.values()))} jobs of this run made artifacts of these results.",
            instrument=main,
            startTime=run.start,
            endTime=run.end,
            # Inputs from outside the run, and results that no other action of the run used.
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


def _describe(document: AuditDocument, entities: Entities, actions: Actions) -> None:
    crate, count = entities.crate, len(document["artifacts"])
    rejected = sum(entry["status"] == "rejected" for entry in document["artifacts"])
    lines = [
        f"Provenance of {count} artifacts, {rejected} of them rejected; runs of the workflow: {len(actions.runs)}.",
        *document["headline"],
    ]
    crate.name = document["title"]
    crate.description = "\n".join(lines)
    crate.license = LICENCE
    crate.root_dataset["datePublished"] = max(
        times(entry["made"])[1] for entry in document["artifacts"] if entry["made"]
    )
    crate.root_dataset["conformsTo"] = [
        entities.context(identifier, "CreativeWork", name=name, version=version)
        for identifier, (name, version) in PROFILES.items()
    ]


def _write(crate: ROCrate, path: Path) -> None:
    """Write one entity per line, to be read with grep and jq."""
    content = crate.metadata.generate()
    lines = ",\n".join(_encode(entity) for entity in content["@graph"])
    context = _encode(content["@context"])
    path.write_text(f'{{"@context": {context},\n"@graph": [\n{lines}\n]}}\n', encoding="utf-8")


def _encode(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
