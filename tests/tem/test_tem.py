import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageDraw

from nephroscale.arrays import read_array, read_attributes
from nephroscale.errors import Rejected
from nephroscale.slides.facts import ImageFacts, Scale
from nephroscale.tem.quality import percentiles
from nephroscale.tem.settings import TemSettings
from nephroscale.tem.tem import TemImage, prepare_tem

SETTINGS = TemSettings(size_px=64)


def entry(folder: Path, name: str, shape: tuple[int, int], nm: float | None = 10.0, bar: bool = False) -> TemImage:
    rng = np.random.default_rng(sum(map(ord, name)))
    small = Image.fromarray(rng.integers(40, 200, (shape[0] // 8, shape[1] // 8)).astype(np.uint8))
    image = small.resize(shape[::-1], Image.Resampling.BICUBIC)
    if bar:
        ImageDraw.Draw(image).rectangle([20, shape[0] - 30, 140, shape[0] - 24], fill=255)
    image.save(folder / f"{name}.png")
    scale = Scale(nm, "nm", "table") if nm else None
    return TemImage(name, folder / f"{name}.png", ImageFacts(scale=scale))


def test_a_bag_of_whole_images(tmp_path: Path) -> None:
    images = [entry(tmp_path, "B", (240, 320), bar=True), entry(tmp_path, "A", (320, 240), None)]
    (tmp_path / "C.png").write_bytes(b"nothing")
    images.append(TemImage("C", tmp_path / "C.png", ImageFacts()))
    images.append(TemImage("D", tmp_path / "D.png", ImageFacts.rejected("no")))
    figures = prepare_tem(images, SETTINGS, tmp_path / "bag")
    assert figures["images"] == 2
    assert figures["instances"] == 2
    assert figures["burned_in"] == 1
    assert [drop["id"] for drop in figures["dropped"]] == ["C", "D"]
    attributes = read_attributes(tmp_path / "bag")
    assert attributes["images"] == ["A", "B"]
    assert attributes["dropped"] == figures["dropped"]
    assert attributes["burned_in"] == ["B"]
    assert list(attributes["quality"]) == ["A", "B"]
    pixels = read_array(tmp_path / "bag", "images")
    assert pixels.shape == (2, 64, 64)
    assert read_array(tmp_path / "bag", "image").tolist() == [0, 1]
    assert read_array(tmp_path / "bag", "box").tolist() == [[0, 0, 320, 240], [0, 0, 240, 320]]
    assert read_array(tmp_path / "bag", "valid").tolist() == [[0, 8, 64, 48], [8, 0, 48, 64]]
    nm = read_array(tmp_path / "bag", "nm_per_px")
    assert np.isnan(nm[0])
    assert nm[1] == 50
    assert len(np.unique(pixels[1, :8])) == 1  # margin
    assert pixels[1, 8:56].std() > 20


def test_order_and_path_of_images_do_not_matter(tmp_path: Path) -> None:
    images = [entry(tmp_path, "A", (240, 320)), entry(tmp_path, "B", (200, 200), bar=True)]
    prepare_tem(images, SETTINGS, tmp_path / "one")
    prepare_tem(images[::-1], SETTINGS, tmp_path / "two")
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert files == sorted(
        path.relative_to(tmp_path / "two") for path in (tmp_path / "two").rglob("*") if path.is_file()
    )
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


@pytest.mark.slow
def test_patches_have_a_fixed_field_and_no_marks(tmp_path: Path) -> None:
    images = [entry(tmp_path, "A", (760, 1120), 10.0, bar=True), entry(tmp_path, "B", (800, 800), 5.0)]
    figures = prepare_tem(images, replace(SETTINGS, instance="patch"), tmp_path / "bag")
    box = read_array(tmp_path / "bag", "box")
    owner = read_array(tmp_path / "bag", "image")
    assert (box[owner == 0, 2] == 350).all()
    assert (box[owner == 1, 2] == 700).all()
    assert len(box[owner == 0]) == 2 * 3 - 1  # the one with the bar is left out
    assert not ((box[:, 0] + box[:, 2] > 730) & (box[:, 1] < 100) & (owner == 0)).any()
    assert figures["instances"] == len(box)
    assert np.allclose(read_array(tmp_path / "bag", "nm_per_px"), 3500 / 64)


@pytest.mark.slow
def test_too_many_patches_are_thinned_evenly(tmp_path: Path) -> None:
    images = [entry(tmp_path, "A", (800, 1600), 10.0)]
    prepare_tem(images, replace(SETTINGS, instance="patch", max_patches=3), tmp_path / "bag")
    box = read_array(tmp_path / "bag", "box")
    assert len(box) == 3
    assert box[0, :2].tolist() == [0, 0]
    assert box[-1, :2].tolist() == [450, 1250]


def test_a_patch_needs_a_scale_and_tissue(tmp_path: Path) -> None:
    hole = entry(tmp_path, "C", (400, 400))
    pixels = np.full((400, 400), 215, np.uint8)
    pixels[:, :40] = np.random.default_rng(0).integers(20, 90, (400, 40))
    Image.fromarray(pixels).save(hole.path)
    images = [entry(tmp_path, "A", (400, 400), None), hole]
    with pytest.raises(Rejected, match="no usable TEM image") as verdict:
        prepare_tem(images, replace(SETTINGS, instance="patch"), tmp_path / "bag")
    scale, tissue = [drop["reason"] for drop in verdict.value.figures["dropped"]]  # type: ignore[attr-defined]
    assert "scale is unknown" in scale
    assert "empty resin, hole or grid bar" in tissue
    assert not (tmp_path / "bag").exists()


def test_an_image_smaller_than_a_patch_is_one_flagged_instance_at_its_scale(tmp_path: Path) -> None:
    images = [entry(tmp_path, "A", (200, 280)), entry(tmp_path, "B", (400, 400)), entry(tmp_path, "C", (200, 1000))]
    figures = prepare_tem(images, replace(SETTINGS, instance="patch"), tmp_path / "bag")
    read = {
        name: read_array(tmp_path / "bag", name) for name in ("images", "image", "box", "valid", "nm_per_px", "small")
    }
    assert figures["small"] == 2
    assert read["small"].tolist() == [True, *[False] * (read["image"] == 1).sum(), *[True] * (read["image"] == 2).sum()]
    assert np.allclose(read["nm_per_px"], 3500 / 64)
    assert read["box"][0].tolist() == [0, 0, 200, 280]
    y, x, height, width = read["valid"][0]
    assert (height, width) == (round(200 * 64 / 350), round(280 * 64 / 350))
    margin = np.ones((64, 64), bool)
    margin[y : y + height, x : x + width] = False
    assert len(np.unique(read["images"][0][margin])) == 1
    last = read["box"][read["image"] == 2]
    assert (last[:, 2:] == [200, 350]).all()
    assert last[[0, -1], 1].tolist() == [0, 650]


def test_no_image_is_enlarged_more_than_one_and_a_half_times(tmp_path: Path) -> None:
    coarse = [entry(tmp_path, "A", (240, 240), 20.0), entry(tmp_path, "B", (48, 40), 200.0)]
    prepare_tem(coarse, TemSettings(instance="patch", size_px=96), tmp_path / "bag")
    box, valid, nm = (read_array(tmp_path / "bag", name) for name in ("box", "valid", "nm_per_px"))
    assert (valid[:, 2] <= 1.5 * box[:, 2] + 0.5).all()
    assert (valid[-1, 2:] == [72, 60]).all()
    assert nm[-1] == pytest.approx(200 / 1.5)
    assert read_array(tmp_path / "bag", "small").tolist() == [*[False] * (len(box) - 1), True]


@pytest.mark.parametrize(
    ("key", "limit", "reason"),
    [
        ("min_sharpness", 100.0, "out of focus"),
        ("max_drift", 0.0, "drift of"),
        ("max_knife_marks", 0.0, "knife marks of"),
    ],
)
def test_an_image_beyond_a_limit_of_quality_is_rejected_with_the_figure(
    tmp_path: Path, key: str, limit: float, reason: str
) -> None:
    with pytest.raises(Rejected) as verdict:
        prepare_tem([entry(tmp_path, "A", (240, 320))], replace(SETTINGS, **{key: limit}), tmp_path / "bag")
    (dropped,) = verdict.value.figures["dropped"]  # type: ignore[attr-defined]
    assert reason in dropped["reason"]
    assert f"tem.{key}" in dropped["reason"]


def test_an_image_with_more_marks_than_the_limit_is_rejected_with_their_share(tmp_path: Path) -> None:
    images = [entry(tmp_path, "A", (240, 320)), entry(tmp_path, "B", (240, 320), bar=True)]
    for limit, reason in ((0.5, None), (0.01, "marks cover 2% of the image, more than tem.max_marked_fraction")):
        figures = prepare_tem(images, replace(SETTINGS, max_marked_fraction=limit), tmp_path / f"bag{limit}")
        assert [drop["reason"] for drop in figures["dropped"] if drop["id"] == "B"] == ([reason] if reason else [])
        assert figures["images"] == (1 if reason else 2)


def test_no_images_at_all(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="the table of images lists no TEM image of this patient"):
        prepare_tem([], SETTINGS, tmp_path / "bag")


@pytest.mark.slow
def test_images_with_the_same_content_count_once_and_are_named(tmp_path: Path) -> None:
    bits = "a5" * 32
    near = f"{int(bits, 16) ^ 0b1011:064x}"
    facts = ImageFacts(digest="1", width=320, height=240, perceptual_hash=bits, scale=Scale(10, "nm", "table"))
    others = {
        "A": facts,
        "B": replace(facts, digest="2", width=640, height=480, perceptual_hash=near),  # a copy at another size
        "C": replace(facts, digest="3", perceptual_hash="5a" * 32),
        "D": replace(facts, digest="3", perceptual_hash="5b" * 32, page=2),  # another page of that file
        "E": replace(facts, digest="4", width=240, perceptual_hash=bits),  # other proportions
    }
    images = [replace(entry(tmp_path, name, (240, 320)), facts=one) for name, one in others.items()]
    tifffile.imwrite(
        tmp_path / "D.tif", np.random.default_rng(1).integers(0, 255, (2, 240, 320), np.uint8), metadata=None
    )
    images[3] = replace(images[3], path=tmp_path / "D.tif")
    figures = prepare_tem(images, SETTINGS, tmp_path / "bag")
    assert figures["dropped"] == [{"id": "B", "reason": "has the same content as A, and counts once"}]
    assert read_attributes(tmp_path / "bag")["images"] == ["A", "C", "D", "E"]


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    settings = replace(SETTINGS, size_px=224, remove_marks=False)
    images = [entry(tmp_path, name, (240, 320)) for name in (f"I{k:02d}" for k in range(40))]
    peaks = []
    for number in (4, 40):
        prepare_tem(images[:1], settings, tmp_path / f"first{number}")  # what is loaded once
        tracemalloc.start()
        prepare_tem(images[:number], settings, tmp_path / f"bag{number}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 0.25 * 36 * 224**2


def test_a_rejected_image_does_not_cost_its_copy(tmp_path: Path) -> None:
    facts = ImageFacts(digest="1", width=320, height=240, perceptual_hash="a5" * 32, scale=Scale(10, "nm", "table"))
    images = [
        replace(entry(tmp_path, name, (240, 320)), facts=replace(facts, digest=name, page=None))
        for name in ("A", "B", "C")
    ]
    Image.new("L", (320, 240), 128).save(tmp_path / "A.png")
    figures = prepare_tem(images, SETTINGS, tmp_path / "bag")
    assert figures["dropped"] == [
        {"id": "A", "reason": "image has only one grey level"},
        {"id": "C", "reason": "has the same content as B, and counts once"},
    ]
    attributes = read_attributes(tmp_path / "bag")
    assert (attributes["images"], attributes["copies"]) == (["B"], {"C": "B"})


def test_percentiles_are_those_of_numpy() -> None:
    random = np.random.default_rng(3)
    for shape, top in (((40, 50), 256), ((7, 3), 256), ((30, 30), 3)):
        image, mask = random.integers(0, top, shape).astype(np.uint8), random.random(shape) < 0.3
        shares = (0, 1, 5, 37.5, 95, 99, 100)
        np.testing.assert_allclose(percentiles(image, mask, *shares), np.percentile(image[~mask], shares), atol=1e-9)
