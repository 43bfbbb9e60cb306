"""Bundles: results with everything that they come from, in one tar file for another machine.

The first member, ``bundle.b3``, holds the digest of the second, ``bundle.json``, which lists all other members with
their digests: records, test-set exposures and the files of objects. Equal contents give equal bytes: members are sorted
and have no time and no owner. Raw images are not included, only their digests and sizes, by which the other machine
recognizes its own copies.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypedDict, cast

from blake3 import blake3

from nephroscale.errors import NephroscaleError
from nephroscale.json_text import pretty_json
from nephroscale.store import test_set_exposure
from nephroscale.store.digest import FileEntry, copy_digested, digest_bytes, digest_entries
from nephroscale.store.disk import full_disk
from nephroscale.store.objects import Store
from nephroscale.store.receipts import Receipt
from nephroscale.store.records import Record, Records, is_intact

FORMAT = 2
_SAFE_MODE = 0o444
_TEXT = re.compile(r"(records|repeats|raw|test_sets/[0-9a-f]{64})/[0-9a-f]{64}(-[0-9a-f]+)?(\.json)?")


class BundledResult(NamedTuple):
    """One result: its receipt, and the digest of its recipe (None where the rejection of an input decided it)."""

    receipt: Receipt
    recipe_digest: str | None


class Contents(NamedTuple):
    """Content of a bundle: results in the order of the stages, and sizes in bytes of the raw images by digest."""

    items: list[BundledResult]
    raw: dict[str, int]


class Imported(NamedTuple):
    """Outcome of an import: results in the bundle, objects that were new, objects that the store had already."""

    results: int
    new: int
    known: int


class _Result(TypedDict):
    """A result in ``bundle.json``."""

    receipt: dict[str, object]
    recipe_digest: str | None


class _Index(TypedDict):
    """The content of ``bundle.json``: objects map a digest to [path, size, digest] of each file."""

    format: int
    results: list[_Result]
    objects: dict[str, list[tuple[str, int, str]]]
    texts: dict[str, str]
    raw: dict[str, int]


def write_bundle(store: Store, contents: Contents, out: Path) -> int:
    """Write results with their objects and records into a tar file.

    Parameters
    ----------
    store
        The store of the results.
    contents
        What to write: results with every result that they depend on.
    out
        The file; it gets its name when it is complete.

    Returns
    -------
    int
        Its size in bytes.

    Raises
    ------
    NephroscaleError
        When an object is missing or damaged, another kind of file is at `out`, or the disk is full.
    """
    _refuse_to_replace(out)
    digests = sorted({item.receipt.digest for item in contents.items if item.receipt.digest})
    recipes = sorted({item.recipe_digest for item in contents.items if item.recipe_digest})
    objects = {digest: _checked_files(store, digest) for digest in digests}
    texts = {f"records/{recipe}.json": Records(store).path(recipe).read_bytes() for recipe in recipes}
    further = [path for recipe in recipes for path in sorted(store.path.glob(f"repeats/{recipe}-*.json"))]
    further += sorted(store.path.glob(f"{test_set_exposure.FOLDER}/*/*.json"))
    texts |= {path.relative_to(store.path).as_posix(): path.read_bytes() for path in further}
    index: _Index = {
        "format": FORMAT,
        "results": [
            {"receipt": item.receipt.as_json(), "recipe_digest": item.recipe_digest} for item in contents.items
        ],
        "objects": {digest: [entry[:3] for entry in entries] for digest, entries in objects.items()},
        "texts": {name: digest_bytes(data) for name, data in texts.items()},
        "raw": contents.raw,
    }
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        with full_disk(out.parent), tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
            text = pretty_json(index).encode()
            _add(tar, "bundle.b3", f"{digest_bytes(text)}\n".encode())
            _add(tar, "bundle.json", text)
            for name, data in sorted(texts.items()):
                _add(tar, name, data)
            for digest, entries in objects.items():
                _add_object(tar, store, digest, entries)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return out.stat().st_size


def _refuse_to_replace(out: Path) -> None:
    """Refuse to replace anything but a bundle; on the command line, receipts are named before it."""
    try:
        with tarfile.open(out, "r:") as tar:
            first = tar.next()
    except FileNotFoundError:
        if not out.parent.is_dir():
            raise NephroscaleError("The folder does not exist.", where=str(out.parent)) from None
        return
    except (tarfile.TarError, OSError):
        first = None
    if first is None or first.name != "bundle.b3":
        raise NephroscaleError(
            "Another kind of file has this name already.",
            where=str(out),
            fix="Give the file to write as the last argument, after the results.",
        )


def _checked_files(store: Store, digest: str) -> list[FileEntry]:
    for _ in range(2):
        if store.find(digest) is not None and (entries := store.manifest(digest)) is not None:
            is_file = [entry.path for entry in entries] == [""]
            if digest == (entries[0].digest if is_file else digest_entries(entries)):
                return entries
            store.manifest_path(digest).unlink(missing_ok=True)  # without it, find hashes the object again
    raise _missing_or_damaged(digest)


def _missing_or_damaged(digest: str) -> NephroscaleError:
    return NephroscaleError(
        f"The object {digest} is missing or damaged.",
        fix="Run `nephroscale verify`, which sets damaged objects aside, then the workflow, then export again.",
    )


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, _SAFE_MODE
    return member


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    tar.addfile(_member(name, len(data)), io.BytesIO(data))


def _add_object(tar: tarfile.TarFile, store: Store, digest: str, entries: list[FileEntry]) -> None:
    for entry in entries:
        path = store.object_path(digest) / entry.path if entry.path else store.object_path(digest)
        with path.open("rb") as file:
            stream = _Hashed(file)
            tar.addfile(_member(_object_name(digest, entry.path), entry.size), cast("BinaryIO", stream))
        if stream.hasher.hexdigest() != entry.digest:
            raise _missing_or_damaged(digest)


class _Hashed:
    """A file that is hashed as it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.hasher = file, blake3()

    def read(self, size: int) -> bytes:
        block = self.file.read(size)
        self.hasher.update(block)
        return block


def _object_name(digest: str, path: str) -> str:
    return f"objects/{digest}/{path}" if path else f"objects/{digest}"


def read_bundle(store: Store, source: Path) -> Imported:
    """Import a bundle into a store: check every byte, then publish objects, then add records.

    Nothing that is in the store already is changed. Where a recipe gave something else here, the local outcome is kept
    and the imported one becomes a repeat that does not agree.

    Parameters
    ----------
    store
        The store to import into.
    source
        A file by :func:`write_bundle`.

    Raises
    ------
    NephroscaleError
        When the file is not a bundle, is incomplete, or any digest differs; nothing is imported then.
    """
    try:
        with store.scratch() as scratch, tarfile.open(source, "r:") as tar:
            index = _read_index(tar, source)
            texts = _unpack(tar, index, scratch, source)
            for name, data in texts.items():
                if name.startswith(("records/", "repeats/")) and not is_intact(data):
                    raise _damaged(source, name)
            new = 0
            for digest in index["objects"]:
                known = store.find(digest) is not None
                if store.publish(scratch / digest).digest != digest:
                    raise _damaged(source, f"object {digest}")
                new += not known
    except (tarfile.TarError, EOFError, ValueError, KeyError, TypeError) as error:
        raise _damaged(source, str(error) or type(error).__name__) from error
    except (FileNotFoundError, IsADirectoryError) as error:
        raise NephroscaleError("The file does not exist.", where=str(source)) from error
    _add_records(store, index, texts)
    return Imported(len(index["results"]), new, len(index["objects"]) - new)


def _read_index(tar: tarfile.TarFile, source: Path) -> _Index:
    heads = []
    for name in ("bundle.b3", "bundle.json"):
        member = tar.next()
        stream = tar.extractfile(member) if member and member.name == name else None
        if stream is None:
            raise NephroscaleError("This file was not written by `nephroscale export`.", where=str(source))
        heads.append(stream.read())
    if heads[0].decode("ascii", "replace").strip() != digest_bytes(heads[1]):
        raise _damaged(source, "bundle.json")
    index: _Index = json.loads(heads[1])
    if index["format"] != FORMAT:
        raise NephroscaleError(
            f"This bundle has format {index['format']}; this version reads format {FORMAT}.",
            where=str(source),
            fix="Export it again with this version.",
        )
    for digest, entries in index["objects"].items():
        kinds = {path == "" for path, _, _ in entries}
        is_file = kinds == {True} and len(entries) == 1
        files = [FileEntry(path, size, wanted, 0) for path, size, wanted in entries]
        actual = files[0].digest if is_file else digest_entries(files)
        if actual != digest or (True in kinds and not is_file) or any(_escapes(file.path) for file in files):
            raise _damaged(source, f"the list of files of object {digest}")
    names = [*index["texts"], *(f"raw/{digest}" for digest in index["raw"])]
    if odd := [name for name in names if not _TEXT.fullmatch(name)]:
        raise _damaged(source, odd[0])
    return index


def _escapes(path: str) -> bool:
    """Whether a path could lead out of the folder that it is relative to."""
    return path != "" and any(part in {"", ".", ".."} for part in path.split("/"))


def _unpack(tar: tarfile.TarFile, index: _Index, scratch: Path, source: Path) -> dict[str, bytes]:
    """Write all objects into a scratch folder and return the small texts, with every digest checked."""
    files = {
        _object_name(digest, path): (digest, path, wanted)
        for digest, entries in index["objects"].items()
        for path, _, wanted in entries
    }
    texts: dict[str, bytes] = {}
    for digest, entries in index["objects"].items():
        if not entries:
            (scratch / digest).mkdir()
    while member := tar.next():
        stream = tar.extractfile(member) if member.isreg() else None
        if stream is None or (member.name not in files and member.name not in index["texts"]):
            raise _damaged(source, f"{member.name} is not listed in bundle.json")
        if member.name in files:
            digest, path, wanted = files.pop(member.name)
            target = scratch / digest / path if path else scratch / digest
            target.parent.mkdir(parents=True, exist_ok=True)
            found = copy_digested(stream, target)
        else:
            wanted = index["texts"][member.name]
            texts[member.name] = stream.read()
            found = digest_bytes(texts[member.name])
        if found != wanted:
            raise _damaged(source, member.name)
    if missing := [*files, *(index["texts"].keys() - texts.keys())]:
        raise _damaged(source, f"{len(missing)} files are missing, such as {missing[0]}")
    return texts


def _add_records(store: Store, index: _Index, texts: dict[str, bytes]) -> None:
    records = Records(store)
    for name, data in texts.items():
        folder, _, rest = name.partition("/")
        if folder == "records" and (record := Record.from_text(data)):
            recipe = replace(record.recipe)  # without the digest that the file gives
            if record.recipe.digest != recipe.digest or rest != f"{recipe.digest}.json":
                raise NephroscaleError(f"The record {rest} does not match its recipe.", fix="Export it again.")
            known = records.read(recipe.digest)
            if known is None or known.receipt != record.receipt:
                records.add(recipe, record.receipt, record.made)
        else:
            store.write_text(store.path / folder / rest, data.decode(), replace=False)
    for digest, size in index["raw"].items():
        # No file has this entry's name, but the pre-pass hashes raw files of its size.
        store.write_text(
            store.path / "raw" / digest[:2] / f"imported-{digest}.json",
            json.dumps({"signature": "", "size": size, "digest": digest}),
            replace=False,
        )


def _damaged(source: Path, what: str) -> NephroscaleError:
    return NephroscaleError(
        f"The file is damaged ({what}). Nothing was imported.", where=str(source), fix="Copy or export the file again."
    )
