"""The figures in the documents: as written from a run, and compared with another run."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.tables import Predictions, write_predictions
from nephroscale_demo.ceiling import ceiling_json
from nephroscale_demo.check import claims
from nephroscale_demo.cohorts import make_cohort
from nephroscale_demo.document import BEGIN, END, insert, photograph, render
from nephroscale_demo.figures import FIGURES, FactsFigures, ModelFigures, RunFigures, collect, compare
from nephroscale_demo.measures import SUBSETS, read_ceilings
from support.accessibility import find_chromium

ONE = ModelFigures(0.7, 0.55, 0.82, [0.68, 0.7, 0.72], 0.75)
FACTS = {"acquisition": FactsFigures(0.31, 0.62), "readings": FactsFigures(0.52, 0.02)}
RUN = RunFigures(dict.fromkeys(SUBSETS, ONE), 0.98, 0.99, FACTS, 0.35, 2)


@pytest.fixture(scope="module")
def ceilings():
    return json.loads(ceiling_json(make_cohort("demo")))


@pytest.fixture(scope="module")
def documented():
    return RunFigures.from_json(FIGURES.read_text(encoding="utf-8"))


def test_the_document_has_the_figures_that_demo_check_compares(root, ceilings, documented):
    text = (root / "docs/demo.md").read_text(encoding="utf-8")
    assert insert(text, render(documented, ceilings)) == text


def test_claims_hold_for_the_figures_in_the_documents(ceilings, documented):
    failed = [str(claim) for claim in claims(documented, ceilings) if not claim.holds]
    assert not failed
    assert not [str(claim) for claim in compare(documented, documented) if not claim.holds]


def test_figures_are_read_as_they_were_written():
    assert RunFigures.from_json(RUN.to_json()) == RUN


def test_a_table_has_a_row_for_each_model_and_for_subsets_without_one(ceilings):
    text = render(RUN, ceilings)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    assert [sum(f"`{name}`" in row for row in rows) for name in SUBSETS] == [1] * len(SUBSETS)
    assert "| IM, TEM | 0.831 |" in text
    assert "0.700 (0.550–0.820)" in text
    assert "Acquisition data alone reach 0.310 (p = 0.62)." in text
    assert "over 2 permutations of the labels is 0.350." in text


def test_what_stands_between_the_marks_is_replaced():
    text = f"before\n{BEGIN}\n\nold\n\n{END}\nafter\n"
    once = insert(text, "new\n")
    assert once == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    assert insert(once, "new\n") == once


@pytest.mark.parametrize("text", ["no marks", f"{BEGIN} only", f"{END} {BEGIN}", f"{BEGIN} {END} {BEGIN}"])
def test_a_document_without_its_marks_is_an_error(text):
    with pytest.raises(NephroscaleError, match="two marks"):
        insert(text, "new")


def test_a_run_that_differs_from_the_documents_fails_by_name():
    other = replace(RUN, models=RUN.models | {"om-only": replace(ONE, balanced_accuracy=0.55)}, dice=0.95)
    failed = {claim.name for claim in compare(RUN, other) if not claim.holds}
    assert failed == {"docs/demo.md has another Dice by", "docs/demo.md has another balanced accuracy of om-only by"}


def test_figures_beyond_the_ceiling_or_far_below_it_fail(ceilings):
    leak = RUN.models | {"om-only": replace(ONE, balanced_accuracy=0.8)}
    poor = RUN.models | {"cmusnet": replace(ONE, balanced_accuracy=0.5, log_loss=1.09)}
    for models, words in ((leak, "om-only"), (poor, "CMUS-Net")):
        failed = [claim.name for claim in claims(replace(RUN, models=models), ceilings) if not claim.holds]
        assert any(words in name for name in failed), failed


def test_missing_ceilings_are_an_error(tmp_path):
    with pytest.raises(NephroscaleError, match="ceilings"):
        read_ceilings(tmp_path)


@pytest.fixture
def results(tmp_path):
    """Results of a run with two cases of each class, and a truth of one slide."""
    folder, classes = tmp_path / "results", ["IgAN", "MN", "LN"]
    (folder / "folds").mkdir(parents=True)
    (folder / "folds/folds.json").write_text(json.dumps({"classes": classes}))
    labels = np.array([0, 0, 1, 1, 2, 2])
    chances = np.full((6, 3), 0.2)
    chances[np.arange(6), labels] = 0.6
    chances[5] = [0.6, 0.2, 0.2]  # one of six is wrong
    for name in SUBSETS:
        (folder / f"evaluate/{name}/fold0-seed1").mkdir(parents=True)
        predictions = Predictions([f"P{i}" for i in range(6)], labels, chances)
        write_predictions(folder / f"evaluate/{name}/fold0-seed1/predictions.csv", predictions, classes)
    model = {
        "pooled": {"balanced_accuracy": {"value": 0.8333, "low": 0.5, "high": 0.95}},
        "networks": {"balanced_accuracy": [0.8333]},
    }
    facts = {"acquisition": {"pooled": {"balanced_accuracy": {"value": 0.3}}, "p": 0.7}}
    (folder / "report").mkdir()
    report = {"models": dict.fromkeys(SUBSETS, model), "facts": facts}
    (folder / "report/metrics.json").write_text(json.dumps(report))
    square = [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [square]},
        "properties": {
            "objectType": "annotation",
            "classification": {"name": "Glomerulus"},
            "measurements": {"score": 0.9, "completeness": 1.0},
        },
    }
    for path in (folder / "glomeruli/P1-OM/glomeruli.geojson", tmp_path / "truth/P1-OM.geojson"):
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return folder


def test_figures_of_a_run_are_collected(results, tmp_path):
    found = collect(results, tmp_path / "truth", [results])
    one = found.models["cmusnet"]
    assert (one.balanced_accuracy, one.low, one.high, one.seeds) == (pytest.approx(5 / 6), 0.5, 0.95, [0.8333])
    assert one.log_loss == pytest.approx(-(5 * np.log(0.6) + np.log(0.2)) / 6)
    assert (found.dice, found.f1) == (pytest.approx(1), pytest.approx(1))
    assert (found.permuted, found.permutations, found.permutation_p) == (pytest.approx(5 / 6), 1, 1.0)
    assert found.facts == {"acquisition": FactsFigures(0.3, 0.7)}


def test_a_run_without_a_report_is_an_error(results, tmp_path):
    (results / "report/metrics.json").unlink()
    with pytest.raises(NephroscaleError, match="no report"):
        collect(results, tmp_path / "truth")


def test_no_picture_of_a_page_that_is_missing(tmp_path):
    with pytest.raises(NephroscaleError, match=r"missing|no Chromium"):
        photograph(tmp_path / "none.html", tmp_path / "none.png", (300, 200))


@pytest.mark.slow
def test_a_picture_has_the_size_that_was_asked_for(tmp_path):
    find_chromium()
    page = tmp_path / "page.html"
    page.write_text("<p>A page</p>")
    photograph(page, tmp_path / "page.png", (300, 200))
    assert cv2.imread(str(tmp_path / "page.png")).shape == (200, 300, 3)
