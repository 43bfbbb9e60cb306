"""Entities of the crate: digests, values, software, and their identifiers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import quote
from uuid import NAMESPACE_OID, uuid5

from rocrate.model.contextentity import ContextEntity
from rocrate.model.data_entity import DataEntity
from rocrate.rocrate import ROCrate

from nephroscale.json_text import canonical_json
from nephroscale.provenance.document_types import AuditDocument
from nephroscale.store.digest import digest_json
from nephroscale.store.records import Made

#: Digest of a file's bytes: the algorithm as SPDX 2.3 names it.
BLAKE3 = "http://spdx.org/rdf/terms#checksumAlgorithm_blake3"
#: Digest of a folder, which is not BLAKE3 of the bytes of any file.
BLAKE3_OF_FOLDER = "#blake3-of-folder"
#: Peak memory of a job's process as getrusage reports it.
PEAK_MEMORY = "https://man7.org/linux/man-pages/man2/getrusage.2.html"
MEBIBYTE = "https://qudt.org/vocab/unit/MebiBYTE"
DEVICE = "#device"


def base_address(document: AuditDocument) -> str:
    """Make the address of a results folder: equal results give equal addresses.

    Artifacts stay in the store and have no address on the web, so they are named as parts of an archive (Archive and
    Package URIs, arcp): absolute URIs that cannot be fetched, whose path is the place in the results folder.
    """
    state = [[entry["name"], entry["digest"], entry["reason"]] for entry in document["artifacts"]]
    return f"arcp://uuid,{uuid5(NAMESPACE_OID, f'nephroscale results {digest_json(state)}')}/"


class Entities:
    """Entities of a crate, each added once, with identifiers made from their content.

    Parameters
    ----------
    crate
        To add them to.
    base
        Address of the results folder.
    """

    def __init__(self, crate: ROCrate, base: str) -> None:
        self.crate = crate
        self.base = base
        self._known: dict[str, ContextEntity] = {}
        self.context(BLAKE3, "DefinedTerm", name="BLAKE3", url="https://github.com/BLAKE3-team/BLAKE3")
        self.context(
            BLAKE3_OF_FOLDER,
            "DefinedTerm",
            name="BLAKE3 of a folder",
            description="BLAKE3 of the JSON list of [path, BLAKE3 of the file's bytes] of all files, sorted by path, "
            "without spaces, in UTF-8.",
        )
        self.context(
            DEVICE,
            "DefinedTerm",
            name="device",
            description="The processor that computed: a GPU's name, or a CPU's architecture and instruction set.",
        )

    def context(self, identifier: str, kind: str | list[str], /, **properties: object) -> ContextEntity:
        """Get a contextual entity, added where the identifier is new; empty properties are left out."""
        if identifier not in self._known:
            self._known[identifier] = self.crate.add(
                ContextEntity(self.crate, identifier, properties={"@type": kind, **_compact(properties)})
            )
        return self._known[identifier]

    def place(self, path: str) -> str:
        """Make the address of a path in the results folder."""
        return self.base + quote(path)

    def data(self, identifier: str, kind: str, /, **properties: object) -> DataEntity:
        """Add a data entity that the crate names but does not contain."""
        return self.crate.add(DataEntity(self.crate, identifier, properties={"@type": kind, **_compact(properties)}))

    def digest(self, digest: str, *, folder: bool = False) -> ContextEntity:
        """Make an identifier of a digest.

        RO-Crate and the profile have terms only for MD5 and SHA, so a PropertyValue names the algorithm.
        """
        return self.context(
            f"#blake3-{digest}",
            "PropertyValue",
            name="BLAKE3 of a folder" if folder else "BLAKE3",
            propertyID={"@id": BLAKE3_OF_FOLDER if folder else BLAKE3},
            value=digest,
        )

    def value(self, name: str, value: object) -> ContextEntity:
        """Get the entity of a parameter of an action, such as its slice of the configuration, as JSON."""
        return self.context(
            f"#{name}-{digest_json(value)[:16]}", "PropertyValue", name=name, value=canonical_json(value).decode()
        )

    def usage(self, made: Made) -> list[ContextEntity]:
        """Get the entities of peak memory and device of a job; equal values are one entity."""
        found = []
        if (peak := made.get("peak_mb")) is not None:
            found.append(
                self.context(
                    f"#peak-memory-{peak}",
                    "PropertyValue",
                    name="peak memory",
                    propertyID=PEAK_MEMORY,
                    unitCode=MEBIBYTE,
                    value=str(peak),
                )
            )
        if device := made.get("device"):
            name = f"#device-{quote(device, safe='')}"
            found.append(self.context(name, "PropertyValue", name="device", propertyID={"@id": DEVICE}, value=device))
        return found

    def package(self, name: str, version: str) -> ContextEntity:
        """Get the entity of a third-party package, named by its page in the Python Package Index."""
        url = "https://www.python.org/" if name == "python" else f"https://pypi.org/project/{name}/{version}/"
        identifier = f"#python-{version}" if name == "python" else url
        return self.context(identifier, "SoftwareApplication", name=name, softwareVersion=version, url=url)

    def tool(
        self, script: str, code: Mapping[str, str], packages: Mapping[str, str], description: str
    ) -> ContextEntity:
        """Get the entity of a script with its project modules and packages, one for each version of the code."""
        version = digest_json([code, packages])[:16]
        modules = [
            self.context(f"#code/{path}-{digest[:16]}", "SoftwareSourceCode", name=path, identifier=self.digest(digest))
            for path, digest in sorted(code.items())
        ]
        return self.context(
            f"#{script}-{version}",
            "SoftwareApplication",
            name=script,
            description=description,
            softwareVersion=version,
            hasPart=modules,
            softwareRequirements=[self.package(*package) for package in sorted(packages.items())],
        )


def _compact(properties: dict[str, object]) -> dict[str, object]:
    """Leave out empty properties, and unpack lists of one item, as RO-Crate 1.1 recommends."""
    given = {name: value for name, value in properties.items() if value not in (None, [], "")}
    return {name: value[0] if isinstance(value, list) and len(value) == 1 else value for name, value in given.items()}


def times(made: Made) -> tuple[str, str]:
    """Start and end of a job, as ISO 8601 with milliseconds."""
    start = datetime.fromisoformat(made["started"])
    return start.isoformat(timespec="milliseconds"), (start + timedelta(seconds=made["seconds"])).isoformat(
        timespec="milliseconds"
    )
