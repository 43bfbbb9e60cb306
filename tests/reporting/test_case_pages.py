import re
from dataclasses import replace

import numpy as np
import pytest

from nephroscale.arrays import write_arrays
from nephroscale.deposits.predictions import Prediction, write_predictions
from nephroscale.evaluation.deletion import Deletion
from nephroscale.evaluation.evidence import InstanceEvidence
from nephroscale.evaluation.tables import PoolingWeight, read_predictions, write_removed, write_rows
from nephroscale.reporting.case_pages import order_cases, write_case_pages
from nephroscale.reporting.external_section import ExternalCase, ExternalMetrics
from nephroscale.reporting.page import PredictionRow
from nephroscale.reporting.report_inputs import ListedCase, ListedImage
from nephroscale.reporting.results import read_results

pytestmark = pytest.mark.slow
CLASSES = ["IgAN", "MN", "LN"]
ROWS = [
    PredictionRow("P001", "IgAN", "IgAN", True, [0.9, 0.1, 0.0], 0.9),
    PredictionRow("P002", "MN", "MN", True, [0.2, 0.5, 0.3], 0.5),
    PredictionRow("P003", "LN", "MN", False, [0.1, 0.6, 0.3], 0.6),
    PredictionRow("P004", "IgAN", "LN", False, [0.1, 0.1, 0.8], 0.8),
]


def write_attention(folder, cases):
    """Attention whose deletion test passes for OM and fails for IM."""
    falls = {case: 0.01 * int(case[1:]) for case in cases}
    rows = [Deletion(case, "OM", 9, 2, 0.9, 0.7 - fall, 0.85) for case, fall in falls.items()]
    rows += [Deletion(case, "IM", 9, 2, 0.9, 0.8 + fall, 0.8) for case, fall in falls.items()]
    write_rows(folder / "deletion.csv", Deletion, rows)
    maps = np.full((len(cases), 9, 9), 1 / 9, np.float32)
    write_arrays(folder / "attention", {"OM": maps, "IM": maps}, {"patients": cases})
    pooled = [PoolingWeight(case, "OM", f"{case}-OM", i, 0, "image", 0.5) for case in cases for i in range(2)]
    pooled += [PoolingWeight(case, "IM", f"{case}-IM", 0, 0, "image", 1.0) for case in cases]
    write_rows(folder / "pooling.csv", PoolingWeight, pooled)


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
        write_attention(run.evaluation, read_predictions(run.evaluation / "predictions.csv", CLASSES).patients)
    slides = [
        replace(
            slide,
            crops=root / "crops",
            glomeruli=20,
            fullest_section=9 if slide.patient_id == "P001" else 3,
            fullest_sclerosed=2 if slide.patient_id == "P001" else None,
            outlined=i == 0,
        )
        for i, slide in enumerate(inputs.slides)
        if slide.image_id.endswith("OM")
    ]
    study = replace(
        inputs,
        slides=slides,
        fields=[replace(slide, crops=root / "crops") for slide in inputs.slides if slide.image_id.endswith("IM")],
        images={f"P{i:03d}-IM": ListedImage(f"P{i:03d}", "IM", "IgG", 80.0, None, 2.0) for i in range(1, 6)},
        cases={"P001": ListedCase("diagnosis", negatives=("C1q",), site="north")},
        deposits=[("any", deposits)],
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
    assert pages["P001"].count('alt="Glomerulus ') == 2
    assert "wrong: predicted LN" in text(pages["P004"])
    assert "IgG, no grade" not in shown


def test_attention_stands_only_beside_its_deletion_test(pages):
    om, _, rest = pages["P001"].partition('id="im"')
    im, _, _ = rest.partition('id="tem"')
    assert om.count('alt="Attention on glomerulus ') == 2
    assert im.count('alt="Attention on P001-IM') == 1
    shown = text("<body>" + om)
    assert (
        "Deletion test passed. The probability of the predicted class falls by 0.340 on average without the 2 of"
        in shown
    )
    found = r"and by 0.050 without 2 random ones: difference 0.290, 95 % interval 0.2\d\d to 0.3\d\d, 27 test patients"
    assert re.search(found, shown)
    assert "Deletion test failed: do not read these maps as reasons" in text("<body>" + im)


def test_without_a_deletion_test_no_attention_is_shown(inputs, tmp_path):
    plain = replace(inputs, models={"tem-only": inputs.models["tem-only"]})
    models = {"tem-only": read_results("tem-only", plain.models["tem-only"], CLASSES)}
    write_case_pages(tmp_path, plain, models, "tem-only", ROWS[:1], title="A study")
    assert "ttention" not in text((tmp_path / "cases" / "P001.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("case", "ending"),
    [
        ("P001", "outlined by a person: fewer than the 10 that ISN/RPS"),
        ("P002", "the segmenter's count: fewer than the 8 that"),
    ],
)
def test_few_glomeruli_are_flagged(pages, case, ending):
    count = {"P001": 9, "P002": 3}[case]
    sentence = f"{count} glomeruli in the fullest section ({case}-OM; 20 on the whole slide), {ending}"
    assert sentence in text(pages[case]).replace("&#39;", "'")


def test_sclerosed_glomeruli_are_counted_where_they_are_known(pages):
    assert "Globally sclerosed: 2 of 9 (22&nbsp;%)." in text(pages["P001"])
    assert "sclerosed" not in text(pages["P002"])


def test_external_cases_have_pages_of_the_ensemble(inputs, tmp_path):
    predictions = tmp_path / "predict"
    predictions.mkdir()
    rows = [InstanceEvidence("P005", "TEM", "P005-T1", 0, 0, "image", 4, 3, 0.625, 0.1)]
    rows += [InstanceEvidence("P005", "TEM", "P005-T2", 1, 0, "image", 4, 0, 0.0, 0.0)]
    write_rows(predictions / "instances.csv", InstanceEvidence, rows)
    write_removed(predictions / "removed.csv", [("P005", "IM", np.array([0.4, 0.35, 0.25]))], CLASSES)
    found = [
        ExternalCase("P005", "MN", "LN", False, [0.1, 0.2, 0.7], 0.75, "scale outside the range"),
        ExternalCase("P004", "LN", "LN", True, [0.1, 0.3, 0.6], 1.0, ""),
    ]
    alone = [ExternalCase("P005", "MN", "MN", True, [0.15, 0.55, 0.3], 1.0, "")]
    metrics = {
        "cmusnet": ExternalMetrics(2, {}, 0, found, {}, members=4),
        "om-only": ExternalMetrics(1, {}, 0, alone, {}, members=4),
    }
    external = [
        PredictionRow("P005", "MN", "LN", False, [0.1, 0.2, 0.7], 0.7),
        PredictionRow("P004", "LN", "LN", True, [0.1, 0.3, 0.6], 0.6),
    ]
    models = {name: read_results(name, runs, CLASSES) for name, runs in inputs.models.items()}
    study = replace(inputs, external={"cmusnet": predictions})
    write_case_pages(tmp_path, study, models, "cmusnet", ROWS[:1], title="A study", external=external, metrics=metrics)
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (tmp_path / "cases").iterdir()}
    assert set(pages) == {"P001", "P005", "P004"}
    shown = text(pages["P005"])
    assert "external case 1 of 2" in shown
    assert "mean over 4 networks of all folds and seeds, after temperature scaling. 75&nbsp;% of the networks" in shown
    assert "0.62 P005-T1" in shown
    assert "dropped P005-T2" in shown
    assert "om-only 0.150 0.550 0.300" in shown
    assert "Warnings of the prediction: scale outside the range." in shown
    assert "without IM 0.400 0.350 0.250" in shown
    assert "Attention maps are not drawn here" in shown
    assert "No row without a modality" in text(pages["P004"])
    assert re.findall(r'href="([^"#]+)"', pages["P005"]) == ["../index.html", "P004.html"]
    assert "Warnings" not in text(pages["P004"])
    assert re.findall(r'href="([^"#]+)"', pages["P001"]) == ["../index.html"]
