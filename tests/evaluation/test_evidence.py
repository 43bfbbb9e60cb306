import numpy as np
import pytest
import torch

from nephroscale.evaluation.evidence import instance_rows, modality_rows
from nephroscale.evaluation.inference import PatientPrediction
from nephroscale.models.batch import Output
from nephroscale.training.data import Bag, ModalityBag


def member_output(weights, rows, *, share=0.25):
    images = tuple(f"I{row}" if row >= 0 else "" for row in rows)
    bags = {"IM": ModalityBag(np.zeros((2, 1, 1, 4), np.float32), np.array(rows), images, 1)} if rows else {}
    output = Output(
        {"fusion": torch.zeros(1, 2)},
        weights={"IM": torch.tensor([weights])},
        modality_weight={"IM": torch.tensor([share])},
    )
    return PatientPrediction(Bag("P", 0, bags, None, (1,)), np.log([0.5, 0.5]), {}, output)


def test_a_negative_marker_is_listed_with_the_photographed_ones():
    rows = instance_rows([member_output([0.6, 0.4, 0.0], [0, -1, -1]), member_output([0.2, 0.8, 0.0], [0, -1, -1])])
    listed = [(row.slot, row.state, row.image_id, row.index, row.drawn) for row in rows]
    assert listed == [(0, "image", "I0", 0, 2), (1, "negative", "", None, 2)]
    assert [row.weight for row in rows] == pytest.approx([0.4, 0.6], abs=1e-6)


def test_negative_markers_without_images_are_evidence():
    (row,) = instance_rows([member_output([0.0, 1.0], [])])
    assert (row.modality, row.slot, row.state, row.weight) == ("IM", 1, "negative", 1.0)
    (summary,) = modality_rows([member_output([0.0, 1.0], []), member_output([0.0, 1.0], [], share=0.75)], ["A", "B"])
    assert (summary["modality"], summary["instances"]) == ("IM", 0)
    assert float(summary["share"]) == pytest.approx(0.5)
