from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from shapely.geometry import Polygon, box, mapping

from nephroscale.arrays import read_array
from nephroscale.cohort.image import ImageRow
from nephroscale.errors import Rejected
from nephroscale.glomeruli import score_calibration, segmenter
from nephroscale.glomeruli.contours import rasterise, read_geojson
from nephroscale.glomeruli.glomeruli import find_glomeruli
from nephroscale.glomeruli.held_out import search_held_out
from nephroscale.glomeruli.labelled_slide import AnnotatedSlide, load_annotated
from nephroscale.glomeruli.metrics import dice
from nephroscale.glomeruli.network import load_weights, save_weights
from nephroscale.glomeruli.patches import change_stains, sample_batch
from nephroscale.glomeruli.segmenter import sclerosis_loss, segmentation_loss, train_segmenter
from nephroscale.glomeruli.settings import DetectionSettings
from nephroscale.glomeruli.tile_view import TileView
from nephroscale.slides.tile_reader import open_tiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    Trained = Any  # the fixture's named tuple, in conftest.py

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def with_steps(trained: Trained, steps: int) -> Any:
    return replace(trained.settings, unet=replace(trained.settings.unet, steps=steps))


def test_training_lowers_the_loss(trained: Trained) -> None:
    curve = json.loads((trained.model / "curve.json").read_text())
    assert len(curve["loss"]) == 9
    assert curve["loss"][-1] < 0.6 * curve["loss"][0]
    assert trained.figures["training_dice"] > 0.8
    assert trained.figures["validation_dice"] is None


def test_training_is_reproducible_and_depends_on_the_seed(trained: Trained, tmp_path: Path) -> None:
    model, settings, figures, slides = trained
    torch.rand(3)  # the global generator is not used
    state = torch.get_rng_state()
    assert train_segmenter(slides, settings, 1, tmp_path / "again") == figures
    assert torch.equal(state, torch.get_rng_state())
    for name in ("weights.safetensors", "curve.json"):
        assert (tmp_path / "again" / name).read_bytes() == (model / name).read_bytes()
    train_segmenter(slides, with_steps(trained, 2), 1, tmp_path / "one")
    train_segmenter(slides, with_steps(trained, 2), 2, tmp_path / "two")
    assert (tmp_path / "one/weights.safetensors").read_bytes() != (tmp_path / "two/weights.safetensors").read_bytes()


def test_the_learning_rate_is_warmed_up_and_then_falls(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, rates, norms = 20, [], []

    class Recording(torch.optim.AdamW):
        def step(self, *more: Any, **named: Any) -> Any:
            (group,) = self.param_groups
            rates.append(group["lr"] / trained.settings.unet.learning_rate)
            gradients = [one.grad for one in group["params"] if one.grad is not None]
            norms.append(float(torch.linalg.vector_norm(torch.stack([g.norm() for g in gradients]))))
            return super().step(*more, **named)

    monkeypatch.setattr(torch.optim, "AdamW", Recording)
    train_segmenter(trained.slides, with_steps(trained, steps), 1, tmp_path / "model")
    warm = 2  # a tenth of the steps
    assert rates[:warm] == [0.5, 1.0]
    falling = [0.5 * (1 + np.cos(np.pi * k / (steps - warm))) for k in range(1, steps - warm)]
    assert rates[warm + 1 :] == pytest.approx(falling)
    assert rates[warm] == 1
    assert max(norms) == pytest.approx(segmenter.MAX_GRADIENT, abs=1e-4)  # that of the first steps is cut


def test_the_weights_are_a_moving_average_of_the_last_tenth(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, seen = 20, []
    update = segmenter.AveragedModel.update_parameters

    def record(self: Any, network: torch.nn.Module) -> None:
        seen.append({name: one.detach().clone() for name, one in network.state_dict().items()})
        update(self, network)

    monkeypatch.setattr(segmenter.AveragedModel, "update_parameters", record)
    train_segmenter(trained.slides, with_steps(trained, steps), 1, tmp_path / "model")
    assert len(seen) == steps
    kept = 1 - 1 / (0.1 * steps)
    stored = load_weights(tmp_path / "model").network.state_dict()
    for name, last in seen[-1].items():
        if not last.is_floating_point():
            continue
        mean = seen[0][name]
        for one in seen[1:]:
            mean = kept * mean + (1 - kept) * one[name]
        assert torch.allclose(stored[name], mean, atol=1e-6), name
    assert not torch.allclose(stored["head.weight"], seen[-1]["head.weight"], atol=1e-4)


def test_of_four_slides_one_is_held_out(trained: Trained, tmp_path: Path) -> None:
    slides = [trained.slides[0]._replace(id=name) for name in ("S4", "S1", "S3", "S2")]
    figures = train_segmenter(slides, with_steps(trained, 2), 1, tmp_path / "model")
    assert figures["slides"] == 3
    assert figures["validation_slide"] == "S4"
    assert 0 <= figures["validation_dice"] <= 1
    assert figures["scores"] == "uncalibrated"  # four outlines


def test_scores_are_calibrated_from_enough_held_out_outlines(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, om_slide: tuple[Path, list[Polygon]]
) -> None:
    for module in (segmenter, score_calibration):
        monkeypatch.setattr(module, "MIN_OUTLINES", 4)
    slides = [trained.slides[0]._replace(id=name) for name in ("S1", "S2", "S3", "S4")]
    figures = train_segmenter(slides, trained.settings, 1, tmp_path / "model")
    assert figures["scores"] == "calibrated"
    known = load_weights(tmp_path / "model")
    assert known.calibration is not None
    settings = DetectionSettings(mpp=trained.settings.mpp)
    row = ImageRow(id="I", patient_id="P", modality="OM")
    found = find_glomeruli(om_slide[0], tmp_path / "model", row, settings, tmp_path / "out", "d1")
    assert (found["method"], found["glomeruli"], found["scores"]) == ("unet", 4, "calibrated")
    weights = known._replace(calibration=None)
    save_weights(weights, tmp_path / "raw.safetensors")
    raw = find_glomeruli(om_slide[0], tmp_path / "raw.safetensors", row, settings, tmp_path / "raw", "d1")
    assert found["score"] == pytest.approx(known.calibration.apply(raw["score"]), abs=1e-3)


def test_a_held_out_slide_is_compared_with_its_outlines(
    trained: Trained, om_slide: tuple[Path, list[Polygon]], tmp_path: Path, make_annotation: Callable[..., Path]
) -> None:
    (slide,) = trained.slides
    labelled = load_annotated(slide, trained.settings)
    searched = search_held_out(trained.model, slide, labelled, trained.settings)
    assert (searched.outlines, searched.hits) == (4, [True] * 4)
    assert searched.overlap * 2 / searched.area > 0.85
    fewer = slide._replace(annotation=make_annotation(tmp_path / "a.geojson", om_slide[1][:3]))
    labelled = load_annotated(fewer, trained.settings)
    searched = search_held_out(trained.model, fewer, labelled, trained.settings)
    assert (searched.outlines, sorted(searched.hits)) == (3, [False, True, True, True])
    nothing_known = replace(labelled, known=labelled.truth)
    searched = search_held_out(trained.model, fewer, nothing_known, trained.settings)
    assert searched.hits == [True] * 3


def test_the_reference_mask_is_that_of_the_annotation(trained: Trained, om_slide: tuple[Path, list[Polygon]]) -> None:
    slide = load_annotated(trained.slides[0], trained.settings)
    view = TileView.at_scale(open_tiles(om_slide[0]), 4.0)
    true = [Polygon(view.from_raw(np.asarray(polygon.exterior.coords))) for polygon in om_slide[1]]
    assert dice(slide.truth, rasterise(true, view.shape)) == 1
    purple = slide.pixels[..., 1] < 130
    assert dice(purple, slide.truth) > 0.85


def test_patches_and_reference_masks_rotate_together(trained: Trained) -> None:
    slide = load_annotated(trained.slides[0], trained.settings)
    pixels, truth, weight, sclerosed = sample_batch([slide], 16, 64, np.random.default_rng(0))
    assert tuple(pixels.shape) == (16, 3, 64, 64)
    assert sclerosed is None
    inside, outside = pixels[:, 1][truth > 0].mean(), pixels[:, 1][truth == 0].mean()
    assert inside < outside - 0.15
    assert bool((weight[truth > 0] == 1).all())
    assert 0.3 < float(weight.mean()) < 1


def test_slides_without_usable_annotation_are_refused(
    trained: Trained,
    tmp_path: Path,
    make_annotation: Callable[..., Path],
    om_slide: tuple[Path, list[Polygon]],
) -> None:
    far = make_annotation(tmp_path / "far.geojson", [Polygon([(90000, 0), (90100, 0), (90100, 100)])])
    with pytest.raises(Rejected, match="none of the annotated slides can be used") as rejected:
        train_segmenter([AnnotatedSlide("S", om_slide[0], far)], trained.settings, 1, tmp_path / "m")
    (left_out,) = rejected.value.figures["outlines_left_out"]
    assert left_out["id"] == "S"
    assert "outside the slide" in left_out["reason"]
    with pytest.raises(Rejected, match="could be tiled"):
        train_segmenter([], trained.settings, 1, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_slide_at_fault_does_not_stop_the_others(trained: Trained, tmp_path: Path) -> None:
    broken = tmp_path / "broken.geojson"
    broken.write_text("[{")
    slides = [*trained.slides, trained.slides[0]._replace(id="S0", annotation=broken)]
    figures = train_segmenter(slides, with_steps(trained, 2), 1, tmp_path / "model")
    assert figures["slides"] == 1
    (left_out,) = figures["outlines_left_out"]
    assert left_out["id"] == "S0"
    assert "count" not in left_out


def test_training_ignores_what_is_outside_annotated_areas(
    trained: Trained, om_slide: tuple[Path, list[Polygon]], tmp_path: Path
) -> None:
    area = box(100, 40, 740, 936)  # the left half of the slide
    drawn = [(polygon, "Glomerulus") for polygon in om_slide[1] if polygon.centroid.x < 740]
    features = [
        {"type": "Feature", "geometry": mapping(polygon), "properties": {"classification": {"name": name}}}
        for polygon, name in [*drawn, (area, "Annotated area")]
    ]
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(features))
    slide = load_annotated(trained.slides[0]._replace(annotation=path), trained.settings)
    rim = 15  # pixels of 60 µm
    assert slide.known[rim + 1 : -rim - 1, rim + 1 : 160 - rim - 1].all()
    assert not (slide.known & ~slide.truth)[:, 160 - rim + 1 :].any()
    _, truth, weight, _ = sample_batch([slide], 8, 64, np.random.default_rng(0))
    assert 0 < float(weight.mean()) < 1
    moved = replace(slide, truth=slide.truth | ~slide.known)
    again = sample_batch([moved], 8, 64, np.random.default_rng(0))
    assert not torch.equal(again.truth, truth)
    logits = torch.zeros_like(truth)
    assert torch.equal(segmentation_loss(logits, truth, weight), segmentation_loss(logits, again.truth, weight))


def test_along_the_border_of_a_field_only_outlines_are_known(trained: Trained) -> None:
    slide = load_annotated(trained.slides[0], trained.settings)
    inner = np.zeros_like(slide.known)
    inner[15:-15, 15:-15] = True
    assert np.array_equal(slide.known, inner | slide.truth)


def test_stains_change_and_glass_does_not() -> None:
    pixels = np.full((2, 2, 3), 244, np.uint8)
    pixels[0] = (150, 70, 150)
    changed = [change_stains(pixels, np.random.default_rng(seed)) for seed in (1, 2)]
    assert changed[0].dtype == np.float32
    assert np.allclose(changed[0][1], 244 / 255, atol=1e-3)
    assert np.abs(changed[0][0] - changed[1][0]).max() > 0.01


@pytest.fixture(scope="session")
def scarred(
    om_slide: tuple[Path, list[Polygon]],
    tmp_path_factory: pytest.TempPathFactory,
    make_tiles: Callable[..., Path],
    make_om: Callable[..., np.ndarray],
) -> tuple[AnnotatedSlide, list[Polygon]]:
    """The slide of the other tests with the second and fourth glomerulus sclerosed: pale, and without grain."""
    folder = tmp_path_factory.mktemp("scarred")
    discs = [(110.0, 120.0, 45.0), (150.0, 420.0, 52.0), (330.0, 260.0, 48.0), (380.0, 520.0, 40.0)]
    pixels = make_om(448, 640, discs)
    rows, columns = np.mgrid[:448, :640]
    for y, x, radius in discs[1::2]:
        pixels[np.hypot(rows - y, columns - x) < radius] = (206, 96, 160)
    path = make_tiles(folder / "om.ome.zarr", pixels, origin=(100.0, 40.0), scale=2.0)
    features = [
        {"type": "Feature", "geometry": mapping(polygon), "properties": {"classification": {"name": name}}}
        for polygon, name in zip(om_slide[1], ("Glomerulus", "Sclerosed") * 2, strict=True)
    ]
    annotation = folder / "a.geojson"
    annotation.write_text(json.dumps(features))
    return AnnotatedSlide("S1", path, annotation), om_slide[1]


def test_sclerosed_glomeruli_are_a_class_of_the_network(
    trained: Trained, scarred: tuple[AnnotatedSlide, list[Polygon]], tmp_path: Path
) -> None:
    slide, polygons = scarred
    figures = train_segmenter([slide], trained.settings, 1, tmp_path / "model")
    assert figures["sclerosed"] == 1
    assert "sclerosed" not in trained.figures
    assert load_weights(trained.model).network.head.out_channels == 1
    row = ImageRow(id="I", patient_id="P", modality="OM")
    settings = DetectionSettings(mpp=trained.settings.mpp, crop_px=64, crop_sclerosed=False)
    found = find_glomeruli(slide.tiles, tmp_path / "model", row, settings, tmp_path / "out", "d1")
    assert (found["method"], found["glomeruli"], found["sclerosed"], found["fullest_sclerosed"]) == ("unet", 4, 2, 2)
    glomeruli = read_geojson(tmp_path / "out/glomeruli.geojson")
    for polygon, scarred_one in zip(polygons, (False, True) * 2, strict=True):
        (one,) = (each for each in glomeruli if each.polygon.intersects(polygon))
        assert one.is_sclerosed == scarred_one
    assert len(read_array(tmp_path / "out/crops", "crops")) == 2


def test_patches_know_sclerosed_glomeruli(trained: Trained, scarred: tuple[AnnotatedSlide, list[Polygon]]) -> None:
    slide = load_annotated(scarred[0], trained.settings)
    other = replace(slide, sclerosed=None)
    batch = sample_batch([slide], 16, 64, np.random.default_rng(0))
    assert batch.sclerosed is not None
    assert 0 < float(batch.sclerosed.sum()) < float(batch.truth.sum())
    assert bool((batch.truth[batch.sclerosed > 0] == 1).all())
    plain = sample_batch([other], 16, 64, np.random.default_rng(0))
    assert plain.sclerosed is None
    assert torch.equal(plain.pixels, batch.pixels)
    logits = torch.zeros_like(batch.truth)
    outside = logits + 9 * (1 - batch.truth)  # what the network says outside of glomeruli does not count
    losses = [sclerosis_loss(each, batch.sclerosed, batch.truth) for each in (logits, outside)]
    assert torch.equal(*losses)
    assert float(losses[0]) == pytest.approx(float(np.log(2)))
