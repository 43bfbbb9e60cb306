from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from shapely.geometry import Polygon

from nephroscale.errors import NephroscaleError
from nephroscale.glomeruli import unet
from nephroscale.glomeruli.contours import rasterise
from nephroscale.glomeruli.metrics import dice
from nephroscale.glomeruli.network import UNet, load_network
from nephroscale.glomeruli.view import View
from nephroscale.slides.tile_reader import open_tiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SETTINGS: dict[str, Any] = {"mpp": 4.0, "width": 8, "steps": 60, "batch": 4, "patch_px": 64}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def trained(
    om_slide: tuple[Path, list[Polygon]], make_annotation: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], list[dict[str, Any]]]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("unet")
    annotation = make_annotation(folder / "a.geojson", om_slide[1])
    slides = [{"id": "S1", "tiles": om_slide[0], "annotation": annotation}]
    return folder / "model", unet.train_segmenter(slides, SETTINGS, 1, folder / "model"), slides


def test_it_learns_and_finds_on_another_slide(
    trained: tuple[Path, dict[str, Any], list[dict[str, Any]]],
    tmp_path: Path,
    make_tiles: Callable[..., Path],
    make_om: Callable[..., np.ndarray],
) -> None:
    model, figures, _ = trained
    curve = json.loads((model / "curve.json").read_text())
    assert len(curve["loss"]) == 6
    assert curve["loss"][-1] < 0.6 * curve["loss"][0]
    assert figures["training_dice"] > 0.8
    assert figures["validation_dice"] is None
    discs = [(100.0, 200.0, 42.0), (280.0, 90.0, 50.0), (300.0, 330.0, 46.0)]
    path = make_tiles(tmp_path / "s", make_om(384, 448, discs, seed=9))
    found = unet.segment(path, model, SETTINGS)
    rows, columns = np.ogrid[:192, :224]
    true = np.any([np.hypot(rows - y / 2, columns - x / 2) < r / 2 for y, x, r in discs], axis=0)
    assert found.dtype == np.uint8
    assert dice(found >= 128, true) > 0.8


def test_training_again_gives_the_same_bytes_and_another_seed_does_not(
    trained: tuple[Path, dict[str, Any], list[dict[str, Any]]], tmp_path: Path
) -> None:
    model, figures, slides = trained
    torch.rand(3)  # the global generator is neither used nor moved
    state = torch.get_rng_state()
    assert unet.train_segmenter(slides, SETTINGS, 1, tmp_path / "again") == figures
    assert torch.equal(state, torch.get_rng_state())
    for name in ("weights.safetensors", "curve.json"):
        assert (tmp_path / "again" / name).read_bytes() == (model / name).read_bytes()
    unet.train_segmenter(slides, SETTINGS | {"steps": 2}, 1, tmp_path / "one")
    unet.train_segmenter(slides, SETTINGS | {"steps": 2}, 2, tmp_path / "two")
    assert (tmp_path / "one/weights.safetensors").read_bytes() != (tmp_path / "two/weights.safetensors").read_bytes()


def test_weights_have_one_metadata_key(trained: tuple[Path, dict[str, Any], list[dict[str, Any]]]) -> None:
    with safe_open(trained[0] / "weights.safetensors", "pt") as stored:
        assert list(stored.metadata()) == ["nephroscale"]
    network, facts = load_network(trained[0])
    assert facts["mpp"] == 4.0
    assert not network.training


def test_windows_give_what_the_whole_gives(
    trained: tuple[Path, dict[str, Any], list[dict[str, Any]]],
    om_slide: tuple[Path, list[Polygon]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = unet.segment(om_slide[0], trained[0], SETTINGS)
    monkeypatch.setattr(unet, "SIDE", 96)
    parts = unet.segment(om_slide[0], trained[0], SETTINGS)
    assert np.abs(parts.astype(int) - whole).max() <= 1


def test_from_four_slides_on_one_is_held_out(
    trained: tuple[Path, dict[str, Any], list[dict[str, Any]]], tmp_path: Path
) -> None:
    slides = [trained[2][0] | {"id": name} for name in ("S4", "S1", "S3", "S2")]
    figures = unet.train_segmenter(slides, SETTINGS | {"steps": 2}, 1, tmp_path / "model")
    assert figures["slides"] == 3
    assert figures["validation_slide"] == "S4"
    assert 0 <= figures["validation_dice"] <= 1


def test_faults_are_named(
    trained: tuple[Path, dict[str, Any], list[dict[str, Any]]],
    tmp_path: Path,
    make_annotation: Callable[..., Path],
    om_slide: tuple[Path, list[Polygon]],
) -> None:
    far = make_annotation(tmp_path / "far.geojson", [Polygon([(90000, 0), (90100, 0), (90100, 100)])])
    with pytest.raises(NephroscaleError, match="lies on its slide"):
        unet.train_segmenter([{"id": "S", "tiles": om_slide[0], "annotation": far}], SETTINGS, 1, tmp_path / "m")
    with pytest.raises(NephroscaleError, match="no annotated slide"):
        unet.train_segmenter([], SETTINGS, 1, tmp_path / "m")
    with pytest.raises(NephroscaleError, match="trained at 4"):
        unet.segment(om_slide[0], trained[0], SETTINGS | {"mpp": 2.0})
    (tmp_path / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(NephroscaleError, match="damaged"):
        unet.segment(om_slide[0], tmp_path, SETTINGS)
    assert not (tmp_path / "m").exists()


def test_truth_lies_where_the_annotation_says(
    trained: tuple[Path, dict[str, Any], list[dict[str, Any]]], om_slide: tuple[Path, list[Polygon]]
) -> None:
    slide = unet.load_annotated(trained[2][0], 4.0)
    view = View.at_scale(open_tiles(om_slide[0]), 4.0)
    true = [Polygon(view.from_raw(np.asarray(polygon.exterior.coords))) for polygon in om_slide[1]]
    assert dice(slide.truth, rasterise(true, view.shape)) == 1
    purple = slide.pixels[..., 1] < 130
    assert dice(purple, slide.truth) > 0.85


def test_patches_and_truth_turn_together(trained: tuple[Path, dict[str, Any], list[dict[str, Any]]]) -> None:
    slide = unet.load_annotated(trained[2][0], 4.0)
    pixels, truth, weight = unet.sample_batch([slide], 16, 64, np.random.default_rng(0))
    assert tuple(pixels.shape) == (16, 3, 64, 64)
    inside, outside = pixels[:, 1][truth > 0].mean(), pixels[:, 1][truth == 0].mean()
    assert inside < outside - 0.15
    assert bool((weight == 1).all())


def test_the_network_keeps_the_size_of_its_input() -> None:
    assert tuple(UNet(4).eval()(torch.zeros(1, 3, 48, 80)).shape) == (1, 48, 80)
