"""The segmenter of IM, trained on synthetic fields and tested on others."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
import torch
from shapely.geometry import Polygon

from nephroscale.cohort.image import ImageRow
from nephroscale.errors import Rejected
from nephroscale.glomeruli import score_calibration, segmenter
from nephroscale.glomeruli.contours import rasterise, read_geojson
from nephroscale.glomeruli.glomeruli import find_glomeruli
from nephroscale.glomeruli.labelled_slide import AnnotatedSlide, load_annotated
from nephroscale.glomeruli.leave_out import HeldOutPatient, check_segmenter
from nephroscale.glomeruli.metrics import detection, dice
from nephroscale.glomeruli.network import UNet, load_weights
from nephroscale.glomeruli.patches import change_stains, sample_batch
from nephroscale.glomeruli.segmenter import hold_out, train_segmenter
from nephroscale.glomeruli.settings import DetectionSettings, SegmenterSettings, UNetSettings
from support.fluorescence import draw_field

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nephroscale.glomeruli.segmenter import SegmenterFigures

pytestmark = pytest.mark.slow

SETTINGS = SegmenterSettings(
    mpp=4.0, unet=UNetSettings(width=8, steps=400, batch_size=4, patch_px=64, learning_rate=5e-3)
)
SEARCH = DetectionSettings(mpp=4.0, crop_px=32)
ROW = ImageRow(id="I", patient_id="P", modality="IM", marker="IgG")
SIDE, TRAINING, TEST = 400, 10, 4


class Fields(NamedTuple):
    """Outlined fields of patients with two each, those to test on with their outlines, and the trained segmenter."""

    training: list[AnnotatedSlide]
    test: list[tuple[AnnotatedSlide, list[Polygon]]]
    model: Path
    figures: SegmenterFigures


@pytest.fixture(scope="module")
def fields(
    tmp_path_factory: pytest.TempPathFactory, make_tiles: Callable[..., Path], make_annotation: Callable[..., Path]
) -> Fields:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("im")

    def draw(number: int) -> tuple[AnnotatedSlide, list[Polygon]]:
        field = draw_field(number, side=SIDE, gain=2.0 ** (number % 5 - 2))  # exposures differ by a factor of 16
        polygons = [Polygon(points) for points in field.outlines]
        tiles = make_tiles(folder / f"{number}.zarr", field.pixels, modality="IM")
        annotation = make_annotation(folder / f"{number}.geojson", polygons)
        return AnnotatedSlide(f"F{number:02}", tiles, annotation, patient=f"P{number // 2}"), polygons

    training = [draw(number)[0] for number in range(TRAINING)]
    figures = train_segmenter(training, SETTINGS, 1, folder / "model")
    return Fields(training, [draw(100 + number) for number in range(TEST)], folder / "model", figures)


def search(path: Path, model: Path | None, out: Path) -> list[Polygon]:
    try:
        find_glomeruli(path, model, ROW, SEARCH, out, "d1")
    except Rejected:
        return []
    return [one.polygon for one in read_geojson(out / "glomeruli.geojson")]


def test_held_out_fields_are_outlined_better_than_by_the_classical_detector(fields: Fields, tmp_path: Path) -> None:
    assert fields.figures["glomeruli"] > 12
    agreement: dict[str, list[float]] = {"unet": [], "classical": []}
    for slide, true in fields.test:
        mask = rasterise(true, (SIDE, SIDE))
        for name, model in (("unet", fields.model), ("classical", None)):
            found = search(slide.tiles, model, tmp_path / f"{name}-{slide.id}")
            agreement[name].append(dice(rasterise(found, mask.shape), mask))
            if model:
                assert detection(found, true)["f1"] == 1
    assert np.mean(agreement["unet"]) >= 0.9
    assert min(agreement["unet"]) >= 0.85
    assert np.mean(agreement["unet"]) >= np.mean(agreement["classical"])


@pytest.mark.long
def test_a_change_in_the_last_bit_of_a_weight_hardly_changes_the_outlines(
    fields: Fields, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ReLU and maximum pooling, the Dice coefficient of all fields changed by 0.012."""

    class Nudged(UNet):
        def __init__(self, *sizes: int) -> None:
            super().__init__(*sizes)
            with torch.no_grad():
                self.stem[0].weight[0, 0, 0, 0] += 1e-7

    monkeypatch.setattr(segmenter, "UNet", Nudged)
    train_segmenter(fields.training, SETTINGS, 1, tmp_path / "model")
    found = []
    for name, model in (("plain", fields.model), ("nudged", tmp_path / "model")):
        masks = [
            rasterise(search(slide.tiles, model, tmp_path / f"{name}-{slide.id}"), (SIDE, SIDE))
            for slide, _ in fields.test
        ]
        found.append(np.stack(masks))
    true = np.stack([rasterise(polygons, (SIDE, SIDE)) for _, polygons in fields.test])
    assert abs(dice(found[0], true) - dice(found[1], true)) < 0.005


def test_weights_have_one_channel_and_the_markers(fields: Fields) -> None:
    known = load_weights(fields.model)
    assert known.markers == ("IgG",)
    assert known.network.stem[0].in_channels == 1
    assert known.colours.size == 0


def test_a_marker_that_no_annotation_shows_is_searched_by_the_classical_detector(
    fields: Fields, tmp_path: Path
) -> None:
    slide = fields.test[0][0].tiles
    metadata = json.loads((slide / "zarr.json").read_text())
    assert metadata["attributes"]["nephroscale"]["stain"] == "IgG"
    metadata["attributes"]["nephroscale"]["stain"] = "C3"
    other = tmp_path / "other.zarr"
    other.mkdir()
    for path in slide.iterdir():
        (other / path.name).symlink_to(path)
    (other / "zarr.json").unlink()
    (other / "zarr.json").write_text(json.dumps(metadata))
    known = find_glomeruli(slide, fields.model, ROW, SEARCH, tmp_path / "known", "d1")
    assert (known["method"], known["stain_unknown"], known["scores"]) == ("unet", False, "uncalibrated")
    assert "stain_likeness" not in known
    figures = find_glomeruli(other, fields.model, ROW, SEARCH, tmp_path / "auto", "d1")
    assert (figures["method"], figures["stain_unknown"]) == ("classical", True)
    forced = find_glomeruli(other, fields.model, ROW, replace(SEARCH, method="unet"), tmp_path / "unet", "d1")
    assert (forced["method"], forced["stain_unknown"]) == ("unet", True)


def test_patches_of_a_dye_have_one_channel(fields: Fields) -> None:
    loaded = [load_annotated(slide, SETTINGS) for slide in fields.training[:2]]
    batch = sample_batch(loaded, 8, 64, np.random.default_rng(0))
    assert tuple(batch.pixels.shape) == (8, 1, 64, 64)
    inside, outside = batch.pixels[:, 0][batch.truth > 0].mean(), batch.pixels[:, 0][batch.truth == 0].mean()
    assert inside < outside - 0.1
    pixels = np.array([[[244], [122]]], np.uint8)
    changed = [change_stains(pixels, np.random.default_rng(seed)) for seed in (1, 2)]
    for one in changed:
        assert one.shape == (1, 2, 1)
        assert one[0, 0, 0] == pytest.approx(244 / 255)
    assert changed[0][0, 1, 0] != pytest.approx(changed[1][0, 1, 0], abs=0.01)


def test_whole_patients_are_held_out_until_scores_can_be_calibrated(
    fields: Fields, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = load_annotated(fields.training[0], SETTINGS)
    slides = [replace(one, name=f"F{number:02}") for number in range(16)]
    patients = {slide.name: f"P{number // 2}" for number, slide in enumerate(slides)}
    outlines = len(one.centres)

    def held_out(needed: int, count: int = 16) -> list[str]:
        monkeypatch.setattr(segmenter, "MIN_OUTLINES", needed)
        return sorted(slide.name for slide in hold_out(slides[:count], patients))

    assert held_out(outlines) == held_out(2 * outlines) == ["F14", "F15"]
    assert held_out(2 * outlines + 1) == ["F12", "F13", "F14", "F15"]
    assert held_out(4 * outlines + 1) == ["F14", "F15"]  # a quarter of the fields has too few
    assert held_out(1, 8) == ["F06", "F07"]
    assert held_out(1, 6) == []  # a patient's two fields are more than a quarter
    om = [replace(slide, marker=None) for slide in slides]
    assert [slide.name for slide in hold_out(om, patients)] == ["F15"]
    assert hold_out(om[:3], patients) == []


def test_scores_are_calibrated_on_several_fields(
    fields: Fields, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Trained(UNet):
        """The network of the fixture, whose training need not be repeated."""

        def __init__(self, *sizes: int) -> None:
            super().__init__(*sizes)
            self.load_state_dict(load_weights(fields.model).network.state_dict())

    for module in (segmenter, score_calibration):
        monkeypatch.setattr(module, "MIN_OUTLINES", 5)
    monkeypatch.setattr(segmenter, "UNet", Trained)
    settings = replace(SETTINGS, unet=replace(SETTINGS.unet, steps=1, learning_rate=0.0))
    figures = train_segmenter(fields.training, settings, 1, tmp_path / "model")
    assert figures["validation_slide"] == "F09, F08"
    assert figures["slides"] == TRAINING - 2
    assert figures["scores"] == "calibrated"
    assert load_weights(tmp_path / "model").calibration is not None


def test_held_out_patients_are_checked(fields: Fields, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(slides: list[AnnotatedSlide], *_: object) -> None:
        assert len(slides) == TRAINING
        (tmp_path / "out").mkdir()
        (tmp_path / "out/weights.safetensors").symlink_to(fields.model / "weights.safetensors")

    monkeypatch.setattr("nephroscale.glomeruli.leave_out.train_segmenter", train)
    held_out = [HeldOutPatient("H", [slide for slide, _ in fields.test])]
    figures = check_segmenter(fields.training, held_out, SETTINGS, 1, tmp_path / "out", modality="IM")
    assert figures["modality"] == "IM"
    (counts,) = figures["patients"]
    assert counts["matched"] == counts["outlines"] == sum(len(true) for _, true in fields.test)
    assert 2 * counts["overlap"] / counts["area"] > 0.87


def test_an_image_without_scale_is_left_out(fields: Fields, tmp_path: Path, make_tiles: Callable[..., Path]) -> None:
    pixels = np.full((128, 128, 1), 900, np.uint16)
    unscaled = fields.training[0]._replace(tiles=make_tiles(tmp_path / "s", pixels, modality="IM", mpp=None))
    with pytest.raises(Rejected, match="no scale"):
        load_annotated(unscaled, SETTINGS)
