import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from nephroscale.digest_on_write import pop_digest
from nephroscale.slides import pyramid
from nephroscale.slides.pyramid import count_levels, write_pyramid, write_tissue_label
from nephroscale.slides.shards import ShardWriter, halve
from nephroscale.store.digest import digest_bytes


class Source:
    """Reads from an array and records the requested regions."""

    def __init__(self, image, absent=()):
        self.image, self.absent, self.requested = image, absent, []

    def __call__(self, y, x, height, width):
        self.requested.append((y, x, height, width))
        shard = (y // 128 * 128, x // 128 * 128)
        return None if shard in self.absent else self.image[:, y : y + height, x : x + width].copy()


def write(path, source, tile_px=64, mpp=0.5, **more):
    image = source.image
    return write_pyramid(
        path,
        image.shape,
        image.dtype,
        source,
        tile_px=tile_px,
        mpp=mpp,
        attributes={"b": 1, "a": [2]},
        colours={f"channel {k}": "FF0000" for k in range(len(image))},
        **more,
    )


def files(path):
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700), st.sampled_from([("u1", 3), ("u2", 1)]))
def test_levels_are_means_of_two_by_two(tmp_path_factory, height, width, kind):
    dtype, channels = kind
    image = np.random.default_rng(height * 701 + width).integers(
        0, np.iinfo(dtype).max, (channels, height, width), dtype
    )
    path = tmp_path_factory.mktemp("p") / "a.zarr"
    saved, pyramid.SHARD_PX = pyramid.SHARD_PX, 128
    try:
        source = Source(image)
        levels = write(path, source)
    finally:
        pyramid.SHARD_PX = saved
    assert levels == count_levels(height, width)
    assert len(set(source.requested)) == len(source.requested), "each region is read once"
    group = zarr.open_group(path, mode="r")
    for level in range(levels):
        stored = group[str(level)][...]
        np.testing.assert_array_equal(stored, image)
        padded = np.pad(image, ((0, 0), (0, stored.shape[1] % 2), (0, stored.shape[2] % 2)), mode="edge").astype(float)
        exact = padded.reshape(channels, padded.shape[1] // 2, 2, padded.shape[2] // 2, 2).mean((2, 4))
        image = halve(image)
        assert np.abs(image - exact).max() <= 0.5


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 3), (np.uint16, 1)])
def test_shards_are_as_zarr_reads_them_for_any_number_of_threads(tmp_path, monkeypatch, codec, dtype, channels):
    monkeypatch.setattr(pyramid, "SHARD_PX", 128)
    rows, columns = np.mgrid[:200, :330]
    image = np.stack([rows * columns + k for k in range(channels)]).astype(dtype)
    image[:, 64:128, 64:128] = 0  # a chunk of zeros in a shard that is none
    write(tmp_path / "a", Source(image), codec=codec)
    with ThreadPoolExecutor(3) as pool:
        write(tmp_path / "b", Source(image), codec=codec, pool=pool)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    (shard,) = (tmp_path / "a/0/c/0/0").glob("0")
    assert pop_digest(shard, shard.stat()) == digest_bytes(shard.read_bytes()), "publication does not read it again"
    stored = zarr.open_group(tmp_path / "a", mode="r")["0"]
    np.testing.assert_array_equal(stored[...], image)
    assert stored.metadata.codecs[0].codecs[1].to_dict()["name"] == {"zstd": "zstd", "lz4": "blosc"}[codec]


def test_absent_shards_are_not_written_and_read_as_zero(tmp_path, monkeypatch):
    monkeypatch.setattr(pyramid, "SHARD_PX", 128)
    image = np.random.default_rng(0).integers(1, 255, (3, 256, 384), np.uint8)
    write(tmp_path / "a", Source(image, absent={(0, 128), (128, 256)}))
    shards = sorted(name for name in files(tmp_path / "a") if name.startswith("0/c"))
    assert shards == ["0/c/0/0/0", "0/c/0/0/2", "0/c/0/1/0", "0/c/0/1/1"]
    group = zarr.open_group(tmp_path / "a", mode="r")
    assert not group["0"][:, :128, 128:256].any()
    assert not group["1"][:, :64, 64:128].any()
    np.testing.assert_array_equal(group["1"][:, :64, :64], halve(image[:, :128, :128]))


def test_each_shard_is_written_once(tmp_path, monkeypatch):
    monkeypatch.setattr(pyramid, "SHARD_PX", 128)
    written = []
    put = ShardWriter.write

    def counting(self, *where_and_chunks):
        written.append(where_and_chunks[:3])
        return put(self, *where_and_chunks)

    monkeypatch.setattr(ShardWriter, "write", counting)
    write(tmp_path / "a", Source(np.full((3, 300, 500), 7, np.uint8)))
    assert len(written) == len(set(written)) > 12


def test_equal_input_gives_equal_bytes(tmp_path):
    image = np.random.default_rng(1).integers(0, 65535, (1, 400, 300), np.uint16)
    for name in "ab":
        write(tmp_path / name, Source(image))
        write_tissue_label(tmp_path / name, np.ones((7, 5), np.uint8), tile_px=64, mpp=0.5, levels=3)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_memory_is_bound_by_shards_not_by_the_slide(tmp_path, monkeypatch):
    monkeypatch.setattr(pyramid, "SHARD_PX", 128)
    largest = 0

    class Counting(Source):
        def __call__(self, y, x, height, width):
            nonlocal largest
            largest = max(largest, height * width)

    write(tmp_path / "a", Counting(np.broadcast_to(np.uint8(0), (3, 5000, 5000))))
    assert largest == 64 * 64


@pytest.mark.parametrize("mpp", [0.5, None])
def test_metadata_is_ngff_0_5(tmp_path, mpp):
    levels = write(tmp_path / "a", Source(np.full((3, 500, 300), 9, np.uint8)), mpp=mpp)
    write_tissue_label(tmp_path / "a", np.array([[0, 1], [2, 1], [1, 1]], np.uint8), tile_px=64, mpp=mpp, levels=levels)
    attributes = json.loads((tmp_path / "a/zarr.json").read_text())["attributes"]
    ome = attributes["ome"]
    assert ome["version"] == "0.5"
    assert attributes["nephroscale"] == {"a": [2], "b": 1}
    assert ome["omero"]["rdefs"] == {"model": "color"}
    assert ome["omero"]["channels"][2] == {
        "active": True,
        "color": "FF0000",
        "label": "channel 2",
        "window": {"start": 0, "min": 0, "end": 255, "max": 255},
    }
    (multiscale,) = ome["multiscales"]
    assert [axis["name"] for axis in multiscale["axes"]] == ["c", "y", "x"]
    assert [axis["type"] for axis in multiscale["axes"]] == ["channel", "space", "space"]
    assert multiscale["axes"][1].get("unit") == ("micrometer" if mpp else None)
    for n, dataset in enumerate(multiscale["datasets"]):
        array = json.loads((tmp_path / "a" / dataset["path"] / "zarr.json").read_text())
        assert array["zarr_format"] == 3
        assert array["dimension_names"] == ["c", "y", "x"]
        scale, *shift = dataset["coordinateTransformations"]
        assert scale == {"type": "scale", "scale": [1.0, (mpp or 1) * 2**n, (mpp or 1) * 2**n]}
        assert all(entry["type"] == "translation" for entry in shift)
    labels = json.loads((tmp_path / "a/labels/zarr.json").read_text())["attributes"]["ome"]
    assert labels == {"labels": ["tissue"], "version": "0.5"}
    label = json.loads((tmp_path / "a/labels/tissue/zarr.json").read_text())["attributes"]["ome"]
    assert label["image-label"]["source"] == {"image": "../../"}
    assert len(label["multiscales"][0]["datasets"]) == levels
    group = zarr.open_group(tmp_path / "a", mode="r")
    np.testing.assert_array_equal(group["labels/tissue/0"][...], [[0, 1], [2, 1], [1, 1]])
    np.testing.assert_array_equal(group["labels/tissue/1"][...], [[2], [1]])


def test_shards_stay_below_256_megabytes():
    for tile_px in (64, 192, 256, 1024, 4096):
        shard = tile_px * max(2, pyramid.SHARD_PX // tile_px // 2 * 2)
        assert shard % (2 * tile_px) == 0
        assert 3 * shard**2 < 256e6 or tile_px > 2048
