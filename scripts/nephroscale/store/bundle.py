"""Bundles: results with all that they come from in one tar file, for another machine, checked when they arrive.

The first member, ``bundle.b3``, holds the digest of the second, ``bundle.json``, which names everything else with its
digest; then come the records, the ledger of looks,
and the files of the objects. Equal contents give equal bytes: members are sorted and bear no time and no owner. Raw
images are not in it, only their digests and sizes, by which the other machine knows its own copies.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from blake3 import blake3

from nephroscale.errors import NephroscaleError
from nephroscale.store.digest import FileEntry, digest_bytes, digest_entries, digest_json, pretty_json
from nephroscale.store.disk import full_disk
from nephroscale.store.receipts import Receipt
from nephroscale.store.records import Records, unseal

if TYPE_CHECKING:
    from pathlib import Path

    from nephroscale.store.objects import Store

FORMAT = 1
_BLOCK = 1 << 20
_SAFE_MODE = 0o444
_TEXT = re.compile(r"(records|repeats|raw|looks/[0-9a-f]{64})/[0-9a-f]{64}(-[0-9a-f]+)?(\.json)?")


class Item(NamedTuple):
    """One result: its receipt, and the recipe of its record (None where the rejection of a need decided it)."""

    receipt: Receipt
    recipe: str | None


class Contents(NamedTuple):
    """What a bundle holds: results in the order of the stages, and sizes of the raw images by digest."""

    items: list[Item]
    raw: dict[str, int]


class Taken(NamedTuple):
    """What an import did: results in the bundle, objects that were new, objects that were there."""

    results: int
    new: int
    known: int


def write_bundle(store: Store, contents: Contents, out: Path) -> int:
    """Write results with their objects and records into a tar file.

    Parameters
    ----------
    store
        Where they lie.
    contents
        What to write: whoever reads it needs every result that another one depends on.
    out
        The file; it appears under its name when it is whole.

    Returns
    -------
    int
        Its size in bytes.

    Raises
    ------
    NephroscaleError
        When an object is missing or damaged, something else lies at `out`, or the disk is full.
    """
    _refuse_to_replace(out)
    digests = sorted({item.receipt.digest for item in contents.items if item.receipt.digest})
    recipes = sorted({item.recipe for item in contents.items if item.recipe})
    objects = {digest: _files_of(store, digest) for digest in digests}
    texts = {f"records/{recipe}.json": Records(store).path(recipe).read_bytes() for recipe in recipes}
    for recipe in recipes:
        for path in sorted(store.path.glob(f"repeats/{recipe}-*.json")):
            texts[f"repeats/{path.name}"] = path.read_bytes()
    for path in sorted(store.path.glob("looks/*/*.json")):
        texts[f"looks/{path.parent.name}/{path.name}"] = path.read_bytes()
    index = {
        "format": FORMAT,
        "results": [{"receipt": item.receipt.as_json(), "recipe": item.recipe} for item in contents.items],
        "objects": {digest: [list(entry[:3]) for entry in entries] for digest, entries in objects.items()},
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
    """Only a bundle may take the place of a file; receipts are named before it on the command line."""
    try:
        with tarfile.open(out, "r:") as tar:
            first = tar.next()
    except FileNotFoundError:
        if not out.parent.is_dir():
            raise NephroscaleError("There is no such folder.", where=str(out.parent)) from None
        return
    except (tarfile.TarError, OSError):
        first = None
    if first is None or first.name != "bundle.b3":
        raise NephroscaleError(
            "Something that is no bundle is there already.",
            where=str(out),
            todo="Name the file to write last, after the results.",
        )


def _files_of(store: Store, digest: str) -> list[FileEntry]:
    for _ in range(2):
        if store.find(digest) is not None and (entries := store.manifest(digest)) is not None:
            lone = [entry.path for entry in entries] == [""]
            if digest == (entries[0].digest if lone else digest_entries(entries)):
                return entries
            store.manifest_path(digest).unlink(missing_ok=True)  # found again, its object is hashed for a new one
    raise _unsound(digest)


def _unsound(digest: str) -> NephroscaleError:
    return NephroscaleError(
        f"The object {digest} is missing or damaged.",
        todo="`nephroscale verify` sets damaged ones aside; run the workflow again, then export.",
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
            raise _unsound(digest)


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


def read_bundle(store: Store, source: Path) -> Taken:
    """Take a bundle into a store: first every byte is checked, then objects are published, then records.

    Nothing that is in the store already is changed. Of a recipe that has given something else here, the first outcome
    stands and the other is kept as a repeat that does not agree.

    Parameters
    ----------
    store
        Where to take it.
    source
        A file by :func:`write_bundle`.

    Raises
    ------
    NephroscaleError
        When the file is no bundle, is cut off, or any digest does not agree: nothing is taken then.
    """
    try:
        with store.scratch() as scratch, tarfile.open(source, "r:") as tar:
            index = _read_index(tar, source)
            texts = _unpack(tar, index, scratch, source)
            for name, data in texts.items():
                if name.startswith(("records/", "repeats/")) and unseal(data) is None:
                    raise _damaged(source, name)
            new = 0
            for digest in index["objects"]:
                there = store.find(digest) is not None
                published = store.publish(scratch / digest)
                if published.digest != digest:
                    raise _damaged(source, f"object {digest}")
                new += not there
    except (tarfile.TarError, EOFError, ValueError, KeyError, TypeError) as error:
        raise _damaged(source, str(error) or type(error).__name__) from error
    except (FileNotFoundError, IsADirectoryError) as error:
        raise NephroscaleError("There is no such file.", where=str(source)) from error
    _take_records(store, index, texts)
    return Taken(len(index["results"]), new, len(index["objects"]) - new)


def _read_index(tar: tarfile.TarFile, source: Path) -> dict[str, Any]:
    named = []
    for name in ("bundle.b3", "bundle.json"):
        member = tar.next()
        stream = tar.extractfile(member) if member and member.name == name else None
        if stream is None:
            raise NephroscaleError("This is no file that `nephroscale export` wrote.", where=str(source))
        named.append(stream.read())
    if named[0].decode("ascii", "replace").strip() != digest_bytes(named[1]):
        raise _damaged(source, "bundle.json")
    index: dict[str, Any] = json.loads(named[1])
    if index["format"] != FORMAT:
        raise NephroscaleError(
            f"This file has format {index['format']}; this version reads {FORMAT}.",
            where=str(source),
            todo="Import it with the version that wrote it.",
        )
    for digest, entries in index["objects"].items():
        kinds = {path == "" for path, _, _ in entries}
        lone = kinds == {True} and len(entries) == 1
        files = [FileEntry(path, size, wanted, 0) for path, size, wanted in entries]
        actual = files[0].digest if lone else digest_entries(files)
        if actual != digest or (True in kinds and not lone) or any(_leaves(file.path) for file in files):
            raise _damaged(source, f"the list of files of object {digest}")
    names = [*index["texts"], *(f"raw/{digest}" for digest in index["raw"])]
    if odd := [name for name in names if not _TEXT.fullmatch(name)]:
        raise _damaged(source, odd[0])
    return index


def _leaves(path: str) -> bool:
    return path != "" and any(part in {"", ".", ".."} for part in path.split("/"))


def _unpack(tar: tarfile.TarFile, index: dict[str, Any], scratch: Path, source: Path) -> dict[str, bytes]:
    """Write all objects into a scratch folder and give back the small texts; every digest agrees afterwards."""
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
            raise _damaged(source, f"{member.name} does not belong to it")
        if member.name in files:
            digest, path, wanted = files.pop(member.name)
            target = scratch / digest / path if path else scratch / digest
            target.parent.mkdir(parents=True, exist_ok=True)
            found = _copy(stream, target)
        else:
            wanted = index["texts"][member.name]
            texts[member.name] = stream.read()
            found = digest_bytes(texts[member.name])
        if found != wanted:
            raise _damaged(source, member.name)
    if missing := [*files, *(index["texts"].keys() - texts.keys())]:
        raise _damaged(source, f"{len(missing)} files are missing, such as {missing[0]}")
    return texts


def _copy(stream: Any, target: Path) -> str:
    hasher = blake3()
    with target.open("xb") as out:
        while block := stream.read(_BLOCK):
            hasher.update(block)
            out.write(block)
    return hasher.hexdigest()


def _take_records(store: Store, index: dict[str, Any], texts: dict[str, bytes]) -> None:
    records = Records(store)
    for name, data in texts.items():
        folder, _, rest = name.partition("/")
        if folder == "records" and (value := unseal(data)):
            recipe = value["recipe"]
            if recipe != digest_json(value["parts"]) or rest != f"{recipe}.json":
                raise NephroscaleError(f"The record {rest} is not that of its recipe.", todo="Export it again.")
            here = records.read(recipe)
            if here is None or here["receipt"] != value["receipt"]:
                records.add(recipe, value["parts"], Receipt.from_json(value["receipt"]), value["made"])
        else:
            store.write_text(store.path / folder / rest, data.decode(), replace=False)
    for digest, size in index["raw"].items():
        # No file has this entry's name, but its size tells the pre-pass which raw files are worth hashing.
        entry = {"signature": "", "size": size, "digest": digest}
        store.write_text(store.path / "raw" / digest[:2] / f"imported-{digest}.json", json.dumps(entry), replace=False)


def _damaged(source: Path, what: str) -> NephroscaleError:
    return NephroscaleError(
        f"The file is damaged ({what}); nothing of it was taken.", where=str(source), todo="Copy or export it again."
    )
