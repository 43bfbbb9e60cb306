"""One slide of 40,960 x 30,720 pixels through register, tiles, glomeruli and features."""

import importlib.util
import sys
from pathlib import Path

import pytest

from nephroscale.arrays import read_array
from nephroscale.glomeruli.contours import read_geojson

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks/large_slide.py"
MOST_MB = 1500  # of memory, in any stage
MOST_DISK = 3.0  # times the size of the file: all that the stages leave


@pytest.fixture(scope="module")
def large_slide():
    spec = importlib.util.spec_from_file_location("large_slide", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    sys.modules["large_slide"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.long
def test_memory_and_disk_of_a_large_slide(large_slide, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARK.parent)  # for the processes that it starts
    centres = large_slide.write_slide(tmp_path / "slide.tiff", 40960, 30720)
    size_mb = (tmp_path / "slide.tiff").stat().st_size / 2**20
    large_slide.measure(large_slide.train, tmp_path, 1)
    steps = (
        (large_slide.register, ()),
        (large_slide.tile, (1,)),
        (large_slide.find, (1,)),
        (large_slide.extract, ()),
    )
    costs = {call.__name__: large_slide.measure(call, tmp_path, *further) for call, further in steps}
    print(f"slide of {size_mb:.0f} MB: {costs}")
    assert all(cost.peak_mb < MOST_MB for cost in costs.values()), costs
    assert sum(cost.written_mb for cost in costs.values()) < MOST_DISK * size_mb, costs
    found = [one.centre for one in read_geojson(tmp_path / "glomeruli/glomeruli.geojson")]
    near = [any(abs(x - u) + abs(y - v) < 200 for u, v in found) for x, y in centres]
    assert sum(near) > 0.9 * len(centres)
    assert len(read_array(tmp_path / "features", "features")) == 16
