"""Memory-mapped arrays: uncompressed Zarr v3, one chunk each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zarr.storage import LocalStore


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], attributes: Mapping[str, object] | None = None) -> None:
    """Write a Zarr v3 group of plain arrays, each as one uncompressed chunk.

    Parameters
    ----------
    path
        Folder to create; it must not exist yet.
    arrays
        By name; any shape, dtype bool, integer or float. All-zero and empty arrays are stored too.
    attributes
        JSON values of the group. Equal input gives equal bytes.
    """
    import zarr
    from zarr.codecs import BytesCodec

    group = zarr.open_group(digesting_store(path), mode="w-", zarr_format=3)
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


def digesting_store(path: Path) -> LocalStore:
    """Create a Zarr store that computes the digest of each file while its bytes are in memory."""
    from zarr.storage import LocalStore

    from nephroscale.digest_on_write import remember_digest

    class DigestingStore(LocalStore):
        async def set(self, key: str, value: Any) -> None:
            await super().set(key, value)
            remember_digest(self.root / key, memoryview(value.as_buffer_like()).cast("B"))

    return DigestingStore(path)


def read_array(path: Path, name: str) -> np.ndarray:
    """Open an array of a group by :func:`write_arrays` as a read-only memory map (an array in memory if empty).

    Parameters
    ----------
    path
        Folder of the group.
    name
        Name of the array.

    Raises
    ------
    NephroscaleError
        When the array does not exist, or its layout cannot be memory-mapped.
    """
    metadata = Path(path) / name / "zarr.json"
    try:
        meta = json.loads(metadata.read_text())
    except FileNotFoundError:
        raise NephroscaleError(f"This group has no array {name!r}.", where=str(path), fix="Make it again.") from None
    shape = tuple(meta["shape"])
    plain = [codec["name"] for codec in meta["codecs"]] == ["bytes"]
    little = all(codec.get("configuration", {}).get("endian", "little") == "little" for codec in meta["codecs"])
    if not plain or not little or meta["chunk_grid"]["configuration"]["chunk_shape"] != [max(1, n) for n in shape]:
        raise NephroscaleError(
            "This array is not a single uncompressed chunk, so it cannot be memory-mapped.",
            where=f"{path}/{name}",
            fix="Rewrite it with nephroscale.arrays.write_arrays.",
        )
    dtype = np.dtype(meta["data_type"]).newbyteorder("<")
    if 0 in shape:
        return np.zeros(shape, dtype)
    return np.memmap(Path(path) / name / "c" / Path(*["0"] * len(shape)), dtype=dtype, mode="r", shape=shape)


def read_attributes(path: Path) -> dict[str, Any]:
    """Read the attributes of a group by :func:`write_arrays`."""
    attributes: dict[str, Any] = json.loads((Path(path) / "zarr.json").read_text()).get("attributes", {})
    return attributes
