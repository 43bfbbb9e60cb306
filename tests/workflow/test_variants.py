"""Variants of the workflow, chosen by configuration."""

import csv
import json

import numpy as np
import pytest

from nephroscale.arrays import read_array, read_attributes

pytestmark = pytest.mark.workflow


RECEIPTS = tuple(f"results/tiny/evaluate/{model}/fold0-seed1.json" for model in ("cmusnet", "tem-only"))


def test_encoders_are_fine_tuned_on_pixel_bags_by_configuration(project):
    pixels = "{name: pixels, size_px: 64}"
    encoder = "encoder: {name: small-cnn, width: 16}"
    run = project.run(
        *RECEIPTS,
        config=(
            f"features={{encoders: {{OM: {pixels}, IM: {pixels}, TEM: {pixels}}}}}",
            f"models={{cmusnet: {{{encoder}}}, tem-only: {{modalities: [TEM], {encoder}}}}}",
        ),
    )
    assert run.code == 0, run.output
    assert {unit.partition("/")[0] for unit in run.computed} == {"features", "train", "evaluate"}
    folder = project.path / "results/tiny/train/cmusnet/fold0-seed1"
    assert len(json.loads((folder / "curve.json").read_text())) == 4
    assert (folder / "weights.safetensors").stat().st_size > 10_000


def test_permuted_labels_change_folds_and_later_stages_and_are_recorded(project):
    run = project.run(*RECEIPTS, config=("task={permute_labels: 3}",))
    assert run.code == 0, run.output
    assert {unit.partition("/")[0] for unit in run.computed} == {"folds", "train", "evaluate"}
    assert json.loads((project.path / "results/tiny/folds/folds.json").read_text())["permuted"] == 3


def test_patches_of_micrographs_are_pooled_within_their_image(project):
    run = project.run(*RECEIPTS, config=("tem={instance: patch, size_px: 128, patch_um: 1.0, max_patches: 4}",))
    assert run.code == 0, run.output
    bag = json.loads((project.path / "results/tiny/tem/P01.json").read_text())["figures"]
    assert bag["instances"] > bag["images"]
    with (project.path / "results/tiny/evaluate/cmusnet/fold0-seed1/instances.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len({(row["patient_id"], row["image_id"]) for row in rows}) == len(rows)
    # From the weight of an image one gets to the places of its patches in the raw image.
    row = max(rows, key=lambda each: float(each["weight"]))
    place = project.path / f"results/tiny/tem/{row['patient_id']}.zarr"
    images = read_attributes(place)["images"]
    owner, box = (np.asarray(read_array(place, name)) for name in ("image", "box"))
    own = box[owner == images.index(row["image_id"])]
    facts = json.loads((project.path / f"results/tiny/register/{row['patient_id']}.facts.json").read_text())
    size = facts[row["image_id"]]
    assert 1 < len(own) <= 4
    assert len(np.unique(own, axis=0)) == len(own)
    assert (own[:, :2] >= 0).all()
    assert (own[:, 0] + own[:, 2] <= size["height"]).all()
    assert (own[:, 1] + own[:, 3] <= size["width"]).all()
