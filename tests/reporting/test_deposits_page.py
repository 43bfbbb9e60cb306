"""The page on deposits, from predictions written by hand."""

import base64
import csv
import json
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
import shapely

from nephroscale.arrays import write_arrays
from nephroscale.deposits.localisation import Heat
from nephroscale.deposits.predictions import HEAT, Prediction, write_predictions, write_weight
from nephroscale.deposits.train import CURVE
from nephroscale.reporting.deposit_pictures import PICTURE_PX, draw_heat, join_instances
from nephroscale.reporting.deposits_page import DepositsInputs, DepositsRun, write_deposits_page

SIDE = 32
RING = [[0, 0], [8, 0], [8, 8], [0, 8], [0, 0]]
# Patients of two folds with one image each; probabilities of (a), (b), (c).
IMAGES = {
    "A1": (True, 0.9, 0.8, 0.9),
    "A2": (True, 0.1, 0.6, 0.7),
    "A3": (False, 0.9, 0.95, 0.45),
    "A4": (False, 0.2, 0.2, 0.1),
    "B1": (True, 0.1, 0.4, 0.02),
    "B2": (False, 0.6, 0.3, 0.6),
    "B3": (True, 0.2, 0.7, 0.8),
    "B4": (False, 0.8, 0.1, 0.3),
}


def decode(uri):
    return cv2.imdecode(np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8), cv2.IMREAD_UNCHANGED)


def run(root, fold, images, seed=1, variants=("plain", "svm", "combined")):
    """One fold: its predictions, its heat (hottest in the upper left cell) and the curve of its plain network."""
    folder = root / f"{fold}-{seed}"
    folder.mkdir()
    rows = [
        Prediction(f"{name}-TEM", name, values[0], dict(zip(("plain", "svm", "combined"), values[1:], strict=True)))
        for name, values in images.items()
    ]
    rows = [replace(row, probabilities={v: row.probabilities[v] for v in variants}) for row in rows]
    write_predictions(folder, rows)
    write_weight(folder, 0.25)
    maps = np.zeros((len(rows), 4, 4), np.float16)
    maps[:, 0, 0] = 1
    place = np.tile([0, 0, SIDE, SIDE], (len(rows), 1))
    arrays = {
        "heat": maps,
        "image": np.arange(len(rows)),
        "box": place,
        "valid": np.tile([0.0, 0, 1, 1], (len(rows), 1)),
    }
    write_arrays(folder / HEAT, arrays, {"images": [row.image for row in rows]})
    plain = root / f"{fold}-{seed}-plain"
    plain.mkdir()
    points = [{"epoch": epoch, "train_loss": 0.7 - 0.1 * epoch, "validation_loss": 0.7} for epoch in range(3)]
    (plain / CURVE).write_text(json.dumps(points))
    return DepositsRun("any", fold, seed, folder, plain)


def bags(root):
    found = {}
    for number, name in enumerate(IMAGES):
        place = np.array([[0, 0, SIDE, SIDE]])
        pixels = np.full((1, SIDE, SIDE), 40 + 20 * number, np.uint8)
        arrays = {"images": pixels, "image": np.zeros(1, np.int16), "box": place, "valid": place}
        write_arrays(root / f"{name}.zarr", arrays, {"images": [f"{name}-TEM"]})
        found[name] = root / f"{name}.zarr"
    return found


def of_fold(letter):
    return {name: values for name, values in IMAGES.items() if name.startswith(letter)}


def write_outlines(root, name, content):
    path = root / f"{name}.geojson"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("deposits")
    polygon = {"features": [{"geometry": {"type": "Polygon", "coordinates": [RING]}}]}
    outlines = {
        "A1-TEM": write_outlines(root, "A1", polygon),
        "A2-TEM": write_outlines(root, "A2", {"features": [{"geometry": None}]}),
        "B1-TEM": write_outlines(root, "B1", polygon),
    }
    inputs = DepositsInputs(
        [run(root, "0", of_fold("A")), run(root, "1", of_fold("B"))], {}, bags(root), {}, outlines, "efficientnet-lite0"
    )
    figures = write_deposits_page(inputs, root / "out")
    return root / "out", figures


def test_the_table_has_the_accuracies_of_the_paper(written):
    out, figures = written
    assert figures["accuracy"] == {"any": {"plain": 0.25, "svm": 0.75, "combined": 0.75}}
    page = (out / "index.html").read_text()
    rows = dict(re.findall(r'<th scope="row">(\([abc]\)).*?<td class="n">(0\.\d\d)</td></tr>', page))
    assert rows == {"(a)": "0.58", "(b)": "0.83", "(c)": "0.88"}
    assert "Weight of the plain network in (c), by fold: 0.25, 0.25." in page


def test_the_page_states_that_the_order_did_not_come_out(written):
    order = json.loads((written[0] / "metrics.json").read_text())["any"]["order"]
    assert order.startswith("The paper's order (a) < (b) < (c) did not come out in these images: ")
    assert (
        "(b) alone is right on 4 images and (a) alone on 0; (c) alone is right on 1 image and (b) alone on 1." in order
    )
    assert order.replace("<", "&lt;").replace("'", "&#39;") in (written[0] / "index.html").read_text()


def test_the_page_states_that_the_order_came_out(tmp_path):
    better = {name: (label, plain, svm, float(label)) for name, (label, plain, svm, _) in IMAGES.items()}
    fold = {name: values for name, values in better.items() if name.startswith("A")}
    inputs = DepositsInputs([run(tmp_path, "0", fold)], {}, {}, {}, {}, "efficientnet-lite0")
    write_deposits_page(inputs, tmp_path / "out")
    assert "(c) came out in these" in json.loads((tmp_path / "out/metrics.json").read_text())["any"]["order"]


def test_the_most_certain_errors_come_first(written):
    page = (written[0] / "errors.html").read_text()
    assert re.findall(r"<strong>(\w\d-TEM)</strong> (read: \w+)", page) == [
        ("B1-TEM", "read: deposits"),  # p = 0.02
        ("B2-TEM", "read: none"),  # p = 0.6
    ]
    first = decode(re.search(r'src="(data:[^"]+)"', page)[1])
    assert abs(int(first.mean()) - 120) <= 1  # the image itself: B1 is the fifth


def test_learning_curves_are_drawn(written):
    out = written[0]
    assert 'alt="Loss of the plain network by epoch' in (out / "index.html").read_text()
    assert (out / "figures/learning-any.svg").is_file()


def test_heat_is_compared_with_the_outlines_and_drawn(written):
    out = written[0]
    found = json.loads((out / "metrics.json").read_text())["any"]["localisation"]
    assert (found["images"], found["pointing_game"]["value"], found["average_precision"]["value"]) == (2, 1, 1)
    assert found["average_precision_by_chance"] == 1 / 16
    page = (out / "index.html").read_text()
    pictures = re.findall(r'src="([^"]+)" alt="TEM image (\S+) with heat and outlines"', page)
    assert [name for _, name in pictures] == ["A1-TEM", "B1-TEM"]
    assert decode(pictures[0][0]).shape == (PICTURE_PX, PICTURE_PX, 3)


def test_outlines_that_cannot_be_read_are_named_and_the_page_is_written(written):
    text = re.sub(r"\s+", " ", (written[0] / "index.html").read_text())
    assert "Left out: comparison with the outlines of A2-TEM: The outlines of deposits cannot be read" in text
    assert "A2.geojson" in text


def test_every_image_has_a_row_for_each_model(written):
    with (written[0] / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8 * 3
    assert {row["probability"] for row in rows if row["image_id"] == "B1-TEM"} == {"0.100000", "0.400000", "0.020000"}


def test_seeds_that_lack_different_folds(tmp_path):
    """Figures are then those of the seed with the most folds."""
    thirds = {"0": of_fold("A"), "1": of_fold("B"), "2": {"C1": (True, 0.9, 0.9, 0.9)}}
    runs = [run(tmp_path, fold, thirds[fold], seed) for seed, fold in ((1, "0"), (2, "1"), (2, "2"))]
    write_deposits_page(DepositsInputs(runs, {"any-plain/fold1-seed1": "no"}, {}, {}, {}, "x"), tmp_path / "out")
    found = json.loads((tmp_path / "out/metrics.json").read_text())["any"]
    assert (found["images"], found["seeds"]) == (5, 1)


def test_patches_are_shown_in_their_places():
    pixels = np.stack([np.full((SIDE, SIDE), grey, np.uint8) for grey in (50, 100, 200)])
    box = np.array([[100, 0, 50, 50], [100, 50, 50, 50], [150, 50, 50, 50]])
    whole = np.tile([0.0, 0, 1, 1], (3, 1))
    joined, place, valid = join_instances(pixels, box, whole)
    quarter, half = PICTURE_PX // 4, PICTURE_PX // 2
    assert [joined[y, x] for y in (quarter, quarter + half) for x in (quarter, quarter + half)] == [50, 100, 0, 200]
    assert place.tolist() == [100, 0, 100, 100]
    assert valid.tolist() == [0, 0, 1, 1]


def test_heat_and_outlines_of_patches_are_drawn_in_their_places():
    maps = np.zeros((2, 4, 4), np.float32)
    maps[1] = 1  # the right patch is hot
    heat = Heat(maps, np.array([[0, 0, 50, 50], [0, 50, 50, 50]]), np.tile([0.0, 0, 1, 1], (2, 1)))
    drawn = draw_heat(np.zeros((PICTURE_PX, PICTURE_PX), np.uint8), heat, shapely.box(10, 10, 20, 20)).astype(int)
    quarter, half = PICTURE_PX // 4, PICTURE_PX // 2
    assert (drawn[quarter, quarter + half] > 10).all()
    assert drawn[half + quarter, half + quarter].max() == 0  # no patch lies there
    y, x = np.nonzero(drawn[:, : half - 10, 2] > 100)  # the outline
    assert np.allclose([y.min(), y.max(), x.min(), x.max()], np.array([10, 20, 10, 20]) * PICTURE_PX / 100, atol=2)
