"""The small entities of the crate: digests, values, software, and the names that things go by."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import NAMESPACE_OID, uuid5

from rocrate.model.contextentity import ContextEntity
from rocrate.model.data_entity import DataEntity

from nephroscale.store.digest import canonical_json, digest_json

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate

#: Digest of a file's bytes: the algorithm as SPDX 2.3 names it.
BLAKE3 = "http://spdx.org/rdf/terms#checksumAlgorithm_blake3"
#: Digest of a folder: not BLAKE3 of any file's bytes, so it must not bear that name.
BLAKE3_OF_FOLDER = "#blake3-of-folder"
#: Peak memory is what getrusage reports of a job's process.
PEAK_MEMORY = "https://man7.org/linux/man-pages/man2/getrusage.2.html"
MEBIBYTE = "https://qudt.org/vocab/unit/MebiBYTE"
DEVICE = "#device"


def base_address(document: dict[str, Any]) -> str:
    """The address of a results folder: equal results, equal address.

    Artifacts stay in the store and have no address on the web, so they are named as parts of an archive
    (Archive and Package URIs, arcp): an absolute URI that promises nothing to be fetched, and whose path is the place
    in the results folder.
    """
    state = [[entry["name"], entry["digest"], entry["reason"]] for entry in document["artifacts"]]
    return f"arcp://uuid,{uuid5(NAMESPACE_OID, f'nephroscale results {digest_json(state)}')}/"


class Entities:
    """Entities of a crate, each added once, under names that follow from what they say.

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

    def context(self, identifier: str, kind: str | list[str], /, **properties: Any) -> ContextEntity:
        """A contextual entity, added where there is none of that name yet; empty properties are left out."""
        if identifier not in self._known:
            self._known[identifier] = self.crate.add(
                ContextEntity(self.crate, identifier, properties={"@type": kind, **_compact(properties)})
            )
        return self._known[identifier]

    def place(self, path: str) -> str:
        """Address of a path in the results folder."""
        return self.base + quote(path)

    def data(self, identifier: str, kind: str, /, **properties: Any) -> DataEntity:
        """A data entity that is named and not carried."""
        return self.crate.add(DataEntity(self.crate, identifier, properties={"@type": kind, **_compact(properties)}))

    def digest(self, digest: str, *, folder: bool = False) -> ContextEntity:
        """A digest as an identifier.

        RO-Crate and the profile have terms for MD5 and SHA alone; a PropertyValue names the algorithm itself.
        """
        return self.context(
            f"#blake3-{digest}",
            "PropertyValue",
            name="BLAKE3 of a folder" if folder else "BLAKE3",
            propertyID={"@id": BLAKE3_OF_FOLDER if folder else BLAKE3},
            value=digest,
        )

    def value(self, name: str, value: Any) -> ContextEntity:
        """A value that an action was given, such as its slice of the configuration, as JSON."""
        text = canonical_json(value).decode()
        return self.context(f"#{name}-{digest_json(value)[:16]}", "PropertyValue", name=name, value=text)

    def usage(self, made: dict[str, Any]) -> list[ContextEntity]:
        """Peak memory and device of one run of a job; equal values are one entity."""
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
        """A third-party package, by its page in the Python Package Index."""
        url = "https://www.python.org/" if name == "python" else f"https://pypi.org/project/{name}/{version}/"
        identifier = f"#python-{version}" if name == "python" else url
        return self.context(identifier, "SoftwareApplication", name=name, softwareVersion=version, url=url)

    def tool(self, script: str, code: dict[str, str], packages: dict[str, str], about: str) -> ContextEntity:
        """A stage's script with every module of the project that it imports: one entity for each state of the code."""
        version = digest_json([code, packages])[:16]
        modules = [
            self.context(f"#code/{path}-{digest[:16]}", "SoftwareSourceCode", name=path, identifier=self.digest(digest))
            for path, digest in sorted(code.items())
        ]
        return self.context(
            f"#{script}-{version}",
            "SoftwareApplication",
            name=script,
            description=about,
            softwareVersion=version,
            hasPart=modules,
            softwareRequirements=[self.package(*package) for package in sorted(packages.items())],
        )


def _compact(properties: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is empty, and write a list of one as that one, as RO-Crate 1.1 recommends."""
    given = {name: value for name, value in properties.items() if value not in (None, [], "")}
    return {name: value[0] if isinstance(value, list) and len(value) == 1 else value for name, value in given.items()}


def times(made: dict[str, Any]) -> tuple[str, str]:
    """Start and end of a run of a job, as ISO 8601 with milliseconds."""
    start = datetime.fromisoformat(made["started"])
    end = start + timedelta(seconds=made["seconds"])
    return start.isoformat(timespec="milliseconds"), end.isoformat(timespec="milliseconds")
