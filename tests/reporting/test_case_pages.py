import re
from dataclasses import replace

import numpy as np
import pytest

from nephroscale.arrays import write_arrays
from nephroscale.deposits.predictions import Prediction, write_predictions
from nephroscale.evaluation.removed import write_removed
from nephroscale.reporting.case_pages import order_cases, write_case_pages
from nephroscale.reporting.page import PatientRow
from nephroscale.reporting.report_inputs import ListedCase, ListedImage
from nephroscale.reporting.results import read_results

pytestmark = pytest.mark.slow
CLASSES = ["IgAN", "MN", "LN"]
ROWS = [
    PatientRow("P001", "IgAN", "IgAN", True, [0.9, 0.1, 0.0], 0.9),
    PatientRow("P002", "MN", "MN", True, [0.2, 0.5, 0.3], 0.5),
    PatientRow("P003", "LN", "MN", False, [0.1, 0.6, 0.3], 0.6),
    PatientRow("P004", "IgAN", "LN", False, [0.1, 0.1, 0.8], 0.8),
]


@pytest.fixture(scope="module")
def pages(inputs, tmp_path_factory):
    root = tmp_path_factory.mktemp("cases")
    arrays = {"crops": np.full((2, 32, 32, 3), 90, np.uint8), "score": np.array([0.9, 0.8], np.float32)}
    write_arrays(root / "crops", arrays, {"um_per_px": 1.0})
    deposits = root / "deposits"
    deposits.mkdir()
    write_predictions(deposits, [Prediction("P001-T1", "P001", True, {"plain": 0.1, "combined": 0.83})])
    runs = inputs.models["cmusnet"].runs
    for run in runs:
        write_removed(run.evaluation / "removed.csv", [("P001", "OM", np.array([0.111, 0.222, 0.667]))], CLASSES)
    slides = [
        replace(
            slide,
            crops=root / "crops",
            glomeruli=20,
            fullest_section=9 if slide.patient_id == "P001" else 3,
            drawn=i == 0,
        )
        for i, slide in enumerate(inputs.slides)
        if slide.image_id.endswith("OM")
    ]
    study = replace(
        inputs,
        slides=slides,
        fields=[slide for slide in inputs.slides if slide.image_id.endswith("IM")],
        images={f"P{i:03d}-IM": ListedImage(f"P{i:03d}", "IM", "IgG", 80.0, None, 2.0) for i in range(1, 6)},
        cases={"P001": ListedCase("diagnosis", negatives=("C1q",), site="north")},
        deposits={"any/fold0-seed1": deposits},
    )
    models = {name: read_results(name, found, CLASSES) for name, found in inputs.models.items()}
    write_case_pages(root, study, models, "cmusnet", order_cases(ROWS), title="A <study>")
    return {path.stem: path.read_text(encoding="utf-8") for path in (root / "cases").iterdir()}


def text(page):
    return " ".join(re.sub(r"<[^>]+>", " ", page.partition("<body>")[2]).split())


def test_wrong_predictions_come_first():
    assert [row.id for row in order_cases(ROWS)] == ["P004", "P003", "P002", "P001"]


def test_each_case_has_a_page_that_leads_to_its_neighbours(pages):
    assert set(pages) == {"P001", "P002", "P003", "P004"}
    links = re.findall(r'href="([^"#]+)"', pages["P003"])
    assert links == ["../index.html", "P004.html", "P002.html"]
    assert "A &lt;study&gt;" in pages["P003"]
    assert "<script" not in pages["P003"]
    assert not re.search(r'src="(?!data:image/)', pages["P003"])


def test_the_page_shows_pictures_weights_and_what_each_modality_changes(pages):
    shown = text(pages["P001"])
    assert "without OM 0.111 0.222 0.667 LN wrong" in shown
    assert "om-only" in shown
    assert "IgG, grade 2+" in shown
    assert "not photographed: C1q" in shown
    assert "deposits: p = 0.83" in shown
    assert "Image left out: P001-T9: image is blank" in shown
    assert "no deletion test" in shown
    assert pages["P001"].count('alt="Glomerulus ') == 2
    assert "wrong: predicted LN" in text(pages["P004"])
    assert "IgG, no grade" not in shown


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("P001", "9 glomeruli in the fullest section (P001-OM), outlined by a person: fewer than the 10 that ISN/RPS"),
        (
            "P002",
            "3 glomeruli in the fullest section (P002-OM), the segmenter's count: fewer than the 8 that the Oxford",
        ),
    ],
)
def test_few_glomeruli_are_flagged(pages, case, sentence):
    assert sentence in text(pages[case]).replace("&#39;", "'")
