"""Arrays that are read by memory map: uncompressed Zarr v3, one chunk each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zarr.storage import LocalStore


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], attributes: Mapping[str, Any] | None = None) -> None:
    """Write a Zarr v3 group of plain arrays, each as one uncompressed chunk.

    Parameters
    ----------
    path
        Folder to create; it must not exist.
    arrays
        Name to array of any shape, dtype bool, integer or float. All-zero and empty arrays are kept as they are.
    attributes
        JSON values for the group. Equal input gives equal bytes.
    """
    import zarr
    from zarr.codecs import BytesCodec

    group = zarr.open_group(noting_store(path), mode="w-", zarr_format=3)
    group.attrs.update(json.loads(json.dumps(dict(attributes or {}), sort_keys=True)))
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        stored = group.create_array(
            name,
            shape=array.shape,
            dtype=array.dtype,
            chunks=tuple(max(1, n) for n in array.shape),
            compressors=None,
            filters=None,
            serializer=BytesCodec(),
            fill_value=0,
            config={"write_empty_chunks": True},
        )
        if array.size:
            stored[...] = array


def noting_store(path: Path) -> LocalStore:
    """Make the Zarr store that takes each file's digest while its bytes are in memory, for publication."""
    from zarr.storage import LocalStore

    from nephroscale.digest_on_write import remember_digest

    class NotingStore(LocalStore):
        async def set(self, key: str, value: Any) -> None:
            await super().set(key, value)
            remember_digest(self.root / key, memoryview(value.as_buffer_like()).cast("B"))

    return NotingStore(path)


def read_array(path: Path, name: str) -> np.ndarray:
    """Open one array of a group by :func:`write_arrays` as a read-only memory map (a plain array when it is empty).

    Parameters
    ----------
    path
        The group's folder.
    name
        The array's name.

    Raises
    ------
    NephroscaleError
        When the array is absent, or is laid out in a way that cannot be mapped.
    """
    metadata = Path(path) / name / "zarr.json"
    try:
        meta = json.loads(metadata.read_text())
    except FileNotFoundError:
        raise NephroscaleError(f"No array {name!r} in this group.", where=str(path), todo="Make it again.") from None
    shape = tuple(meta["shape"])
    plain = [codec["name"] for codec in meta["codecs"]] == ["bytes"]
    little = all(codec.get("configuration", {}).get("endian", "little") == "little" for codec in meta["codecs"])
    if not plain or not little or meta["chunk_grid"]["configuration"]["chunk_shape"] != [max(1, n) for n in shape]:
        raise NephroscaleError(
            "This array is not one plain chunk, so it cannot be memory-mapped.",
            where=f"{path}/{name}",
            todo="Rewrite it with nephroscale.arrays.write_arrays.",
        )
    dtype = np.dtype(meta["data_type"]).newbyteorder("<")
    if 0 in shape:
        return np.zeros(shape, dtype)
    return np.memmap(Path(path) / name / "c" / Path(*["0"] * len(shape)), dtype=dtype, mode="r", shape=shape)


def read_attributes(path: Path) -> dict[str, Any]:
    """Read the attributes of a group by :func:`write_arrays`."""
    return json.loads((Path(path) / "zarr.json").read_text()).get("attributes", {})
