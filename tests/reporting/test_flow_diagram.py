import itertools
import re
from xml.etree import ElementTree as ET

import numpy as np

from nephroscale.evaluation.tables import Predictions
from nephroscale.reporting.cohort_summary import CohortSummary
from nephroscale.reporting.flow_diagram import Box, draw_flow, list_boxes
from nephroscale.reporting.report_inputs import ListedCase

COHORT = CohortSummary(
    4,
    {"IgAN": 2, "MN": 2},
    0,
    2,
    "stratified",
    {"P5": "no OM: P5-OM cannot be read", "P6": "no OM: no image"},
    [],
    {},
    {},
    {},
    {},
)
CASES = {
    **{f"P{i}": ListedCase("diagnosis") for i in range(1, 7)},
    "P7": ListedCase("exclude", reason="a transplanted kidney"),
    "S1": ListedCase("segmentation"),
    "E1": ListedCase("external"),
}
PREDICTIONS = Predictions(["P1", "P2", "P3"], np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]]))
BOXES = [
    Box(["9 cases in the tables"]),
    Box(["Not for the diagnosis", "external: 1", "segmentation: 1"], True),
    Box(["7 cases for the diagnosis"]),
    Box(["3 excluded", "no OM: 2", "a transplanted kidney: 1"], True),
    Box(["4 cases in the folds", "IgAN 2, MN 2"]),
    Box(["1 without a prediction", "lacking a modality, or not run"], True),
    Box(["3 cases predicted out of fold", "IgAN: 1 right, 1 wrong", "MN: 1 right, 0 wrong"]),
    Box(["External cases predicted by the ensemble: 1"], True),
]


def test_every_case_is_in_one_box():
    assert list_boxes(CASES, COHORT, PREDICTIONS, 1, ["IgAN", "MN"]) == BOXES


def test_boxes_do_not_overlap_and_hold_their_text():
    box = Box(["A reason <that> is longer than a line of the diagram can be, and so has to be wrapped"], True)
    drawn = ET.fromstring(draw_flow([*BOXES, box]))
    tag = "{http://www.w3.org/2000/svg}"
    edges = [(float(r.get("y")), float(r.get("y")) + float(r.get("height"))) for r in drawn.iter(f"{tag}rect")]
    assert all(lower < upper for (_, lower), (upper, _) in itertools.pairwise(edges))
    assert edges[-1][1] <= float(drawn.get("viewBox").split()[3])
    texts = [(float(t.get("y")), t.text) for t in drawn.iter(f"{tag}text")]
    assert all(any(top < y < bottom for top, bottom in edges) for y, _ in texts)
    shown = re.sub(r"\s+", " ", " ".join(text for _, text in texts))
    assert all(line in shown for each in [*BOXES, box] for line in each.lines)
