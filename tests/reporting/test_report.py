import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from nephroscale.arrays import write_arrays
from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.tables import InstanceWeight, Predictions, write_predictions, write_rows
from nephroscale.features.settings import EncodersSettings
from nephroscale.models.settings import ModelSettings
from nephroscale.reporting.report import write_report
from nephroscale.reporting.report_inputs import FoldRun, ListedCase
from nephroscale.reporting.settings import ActionSettings, PrimarySettings, ReferenceStandardSettings, ReportSettings
from nephroscale.reporting.trained import describe_training
from nephroscale.training.settings import TrainSettings
from support.accessibility import find_violations

pytestmark = pytest.mark.slow

NOTE = "This cohort is synthetic: its results do not apply to real patients."
AUDIT = "../audit.html#costs"
SETTINGS = ReportSettings(title="Diagnosis of IgAN, MN and LN <from> three modalities", notes=(NOTE,), swaps=200)


@pytest.fixture(scope="module")
def written(inputs, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "out"
    return write_report(inputs, SETTINGS, out, seed=1), out


class Page(HTMLParser):
    """Collects the addresses that a browser would fetch, and whether elements close in order."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self):
        super().__init__()
        self.open, self.links, self.ids, self.text = [], [], set(), []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.links += [values[name] for name in ("src", "href", "srcset") if name in values]
        self.ids |= {values["id"]} if "id" in values else set()
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def page(written):
    parser = Page()
    parser.feed((written[1] / "index.html").read_text())
    return parser


def test_the_page_is_self_contained(page, written):
    assert page.open == []
    assert AUDIT in page.links
    for link in page.links:
        assert link == AUDIT or link.startswith("data:") or link[1:] in page.ids or (written[1] / link).is_file()
    html = (written[1] / "index.html").read_text()
    assert "<script" not in html
    assert "@import" not in html
    assert not re.search(r"url\((?!data:)", html)
    assert "/tmp" not in html


@pytest.mark.parametrize(("page", "width"), [("index.html", 1000), ("index.html", 400), ("cases/P001.html", 400)])
def test_the_pages_are_accessible(written, tmp_path, page, width):
    assert find_violations(written[1] / page, tmp_path, width) == []


def test_the_page_shows_metrics_pictures_and_rejections(page, written):
    text = " ".join(" ".join(page.text).split())
    metrics = json.loads((written[1] / "metrics.json").read_text())
    assert NOTE in text
    assert "LN <from> three" in text  # escaped, and so shown as it is
    for name, found in metrics["models"].items():
        assert name in text
        for metric in found["pooled"].values():
            assert f"{metric['value']:.3f}" in text
    for section in ("models", "folds", "classes", "training", "cohort", "slides", "tem", "rejected", "reading"):
        assert section in page.ids
    assert "the slide cannot be opened: not a TIFF file" in text
    assert "image is blank" in text
    assert "dropped" in text
    assert "not drawn" in text
    assert "1 mm" in text


def test_the_page_lists_images_that_are_alike_with_the_reason(page):
    text = " ".join(page.text)
    assert "A and B similar content <one> control slide" in re.sub(r"\s+", " ", text)


def test_metrics_json_has_its_documented_keys(written):
    metrics = json.loads((written[1] / "metrics.json").read_text())
    assert metrics["headline"] == "cmusnet"
    assert set(metrics["models"]) == {"cmusnet", "om-only", "im-only", "tem-only", "no-attention"}
    for found in metrics["models"].values():
        for metric in ("accuracy", "balanced_accuracy", "macro_auc", "macro_f1"):
            assert set(found["pooled"][metric]) == {"value", "low", "high"}
            assert found["pooled"][metric]["high"] - found["pooled"][metric]["low"] > 0.05
            assert set(found["folds"][metric]) == {"mean", "sd", "values"}
            assert len(found["folds"][metric]["values"]) == 5
    assert metrics["cohort"]["classes"] == {"IgAN": 9, "MN": 9, "LN": 9}
    assert metrics["cohort"]["excluded"] == {"P031": "no TEM: patient has no usable TEM image"}


def test_the_receipt_has_the_headline_lines(written):
    figures, _ = written
    assert json.loads(json.dumps(figures)) == figures
    assert figures["headline"][0].startswith("cmusnet, one network, 27 patients")
    assert figures["rejected"] == 3
    assert set(figures["balanced_accuracy"]) == {"value", "low", "high"}


def test_plots_are_written_as_png_and_svg(written):
    folder = written[1] / "figures"
    names = ("confusion", "curves", "decisions", "models", "precision", "roc")
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        [*(f"{n}.{end}" for n in names for end in ("png", "svg")), "flow.svg"]
    )
    for path in folder.glob("*.png"):
        picture = cv2.imread(str(path))
        assert picture is not None
        assert picture.std() > 5
        assert b"Date" not in path.read_bytes()[:400]


def test_equal_inputs_give_equal_bytes(written, inputs, tmp_path):
    write_report(inputs, SETTINGS, tmp_path / "again", seed=1)
    first = written[1]
    names = sorted(p.relative_to(first) for p in first.rglob("*") if p.is_file())
    assert len(names) == 18 + 27
    for name in names:
        assert (first / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def plain(inputs, *models):
    """The inputs with these models alone, without pictures."""
    return replace(inputs, models={name: inputs.models[name] for name in models}, slides=(), tem={})


def test_unfinished_runs_are_listed(inputs, tmp_path):
    models = {
        name: replace(model, runs=tuple(replace(run, evaluation=None, training=None) for run in model.runs))
        for name, model in inputs.models.items()
    }
    bare = replace(inputs, models=models, slides=(), tem={}, stages={})
    figures = write_report(bare, replace(SETTINGS, notes=()), tmp_path / "bare", seed=1)
    assert figures["balanced_accuracy"]["value"] is None
    html = (tmp_path / "bare" / "index.html").read_text()
    assert "This model has no evaluation" in html
    assert "fold 0, seed 1" in html

    part = {
        "cmusnet": replace(models["cmusnet"], runs=inputs.models["cmusnet"].runs[:2]),
        "om-only": models["om-only"],
    }
    assert write_report(replace(bare, models=part), SETTINGS, tmp_path / "part", seed=1)["patients"] == 12


def test_corrected_outlines_are_noted(inputs, tmp_path):
    drawn = replace(inputs.stages["glomeruli"][0], figures={"glomeruli": 2, "method": "annotation"})
    stages = {**inputs.stages, "glomeruli": [drawn, *inputs.stages["glomeruli"][1:]]}
    bare = replace(plain(inputs, "cmusnet"), stages=stages)
    write_report(bare, SETTINGS, tmp_path / "out", seed=1)
    assert "Glomeruli of 1 of 55 slides" in (tmp_path / "out/index.html").read_text()


def test_cases_and_patients_are_counted_separately(inputs, tmp_path):
    folds = json.loads((inputs.folds / "folds.json").read_text())
    folds["people"] = {"P004": "P001"}
    (tmp_path / "folds.json").write_text(json.dumps(folds))
    two = replace(plain(inputs, "cmusnet", "om-only"), folds=tmp_path)
    found = write_report(two, SETTINGS, tmp_path / "out", seed=1)
    assert "27 cases of 26 patients" in found["headline"][0]
    html = (tmp_path / "out" / "index.html").read_text()
    assert html.count("27 cases of 26 patients") == 4
    assert "all biopsies of a patient together" in html


def test_several_seeds_and_another_headline_model(two_seeds, tmp_path):
    models = {name: two_seeds.models[name] for name in ("cmusnet", "im-only")}
    settings = replace(SETTINGS, case_pages=0)
    write_report(replace(two_seeds, models=models), replace(settings, headline="im-only"), tmp_path / "out", seed=1)
    html = (tmp_path / "out" / "index.html").read_text()
    assert "the mean over 2 networks" in html
    assert "Ensemble of 2 seeds" in html
    assert "all seeds of a patient together" in html
    assert "no weights of TEM images" in html
    with pytest.raises(NephroscaleError, match="headline"):
        write_report(two_seeds, replace(SETTINGS, headline="x"), tmp_path / "other", seed=1)


def test_the_declared_endpoint_is_shown_apart_from_exploratory_comparisons(inputs, written, tmp_path):
    bare = " ".join((written[1] / "index.html").read_text().split())
    assert "No primary endpoint is declared" in bare
    assert "No predictive values" in bare
    assert "with one seed that between trainings is unknown" in bare
    primary = PrimarySettings("balanced_accuracy", ("om-only", "no-attention"), "2026-11-27")
    settings = replace(SETTINGS, primary=primary, prevalences={"IgAN": 0.6, "MN": 0.3, "LN": 0.1})
    write_report(plain(inputs, *inputs.models), settings, tmp_path / "out", seed=1)
    html = " ".join((tmp_path / "out" / "index.html").read_text().split())
    assert "Primary endpoint, declared on 2026-11-27: balanced accuracy, cmusnet against om-only, no-attention" in html
    assert html.count("(Holm)") == 2
    assert "Positive predictive value" in html
    assert "The best epoch is the last one in" in html
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    counts = metrics["discordant"]["no-attention"]
    assert (counts["better"] + counts["worse"] < 6) == ("no p below 0.05 exists" in html)


def test_study_subgroups_decisions_and_a_shortcut_are_on_the_page(inputs, tmp_path):
    labels = json.loads((inputs.folds / "folds.json").read_text())["labels"]
    cases = {
        case: ListedCase("diagnosis", site="xyz"[label], columns={"sex": "f" if label else "m"})
        for case, label in labels.items()
    }
    classes = inputs.classes
    trained = {
        "cmusnet": describe_training(
            "cmusnet", ModelSettings(modalities=("OM", "IM")), EncodersSettings(), TrainSettings(), []
        )
    }
    settings = replace(
        SETTINGS,
        permutations=39,
        action=ActionSettings("steroids", ("MN",)),
        reference_standard=ReferenceStandardSettings(read_by="two pathologists"),
        subgroups=("sex",),
    )
    readings = {"reader A": {case: classes[label] for case, label in labels.items()}}
    full = replace(plain(inputs, "cmusnet"), cases=cases, trained=trained, readings=readings)
    write_report(full, settings, tmp_path / "out", seed=1)
    html = " ".join((tmp_path / "out" / "index.html").read_text().split())
    assert "OM, IM by texture (filter bank without weights)" in html
    assert "here no encoder was trained" in html
    assert "read by: two pathologists; blinded: not stated; agreement: not stated" in html
    assert "Acquisition data alone, without any image content, predict the classes" in html
    assert "Decision curve: steroids" in html
    assert "reader A and cmusnet" in html
    assert 'id="subgroups"' in html
    page = Page()
    page.feed((tmp_path / "out" / "index.html").read_text())
    assert page.open == []
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["facts"]["acquisition"]["p"] == 1 / 40
    assert metrics["table_one"]["columns"][:4] == ["all", *classes]
    assert metrics["reference_standard"]["blinded"] is None


def test_sites_left_out_near_patients_and_unread_dates_are_on_the_page(inputs, tmp_path):
    """The folds of two sites, evaluated as the first two of the stratified ones were."""
    table = json.loads((inputs.folds / "folds.json").read_text())
    everyone = sorted(table["labels"])
    tests = [table["folds"][0]["test"] + table["folds"][1]["test"], []]
    tests[1] = sorted(set(everyone) - set(tests[0]))
    for k, (site, test) in enumerate(zip(("north", "south"), tests, strict=True)):
        rest = sorted(set(everyone) - set(test))
        table["folds"].append({"name": str(5 + k), "train": rest, "validation": [], "test": test, "site": site})
    (tmp_path / "folds").mkdir()
    (tmp_path / "folds" / "folds.json").write_text(json.dumps(table | {"left_out_sites": 2}))
    runs = list(inputs.models["cmusnet"].runs)
    random = np.random.default_rng(1)
    for k, test in enumerate(tests):
        labels = np.array([table["labels"][case] for case in test])
        folder = tmp_path / f"site{k}"
        folder.mkdir()
        chances = 0.7 * np.eye(3)[labels] + 0.1
        write_predictions(folder / "predictions.csv", Predictions(test, labels, chances), inputs.classes)
        write_rows(folder / "instances.csv", InstanceWeight, [])
        runs.append(FoldRun(str(5 + k), 1, folder))
    features = {}
    for case in everyone:
        centre = random.normal(size=8) if case != "P002" else features["P001"][1]
        bag = centre + 0.01 * random.normal(size=(6, 1, 1, 8)) if case != "P002" else features["P001"][2]
        path = tmp_path / "features" / case
        write_arrays(path, {"features": bag.astype(np.float32)})
        features[case] = (path, centre, bag)
    full = replace(
        inputs,
        folds=tmp_path / "folds",
        models={"cmusnet": replace(inputs.models["cmusnet"], runs=tuple(runs))},
        cases={case: ListedCase("diagnosis", dates={"date": "?"} if case == "P003" else {}) for case in everyone},
        features={(case, "OM"): path for case, (path, *_) in features.items()},
        slides=(),
        tem={},
    )
    write_report(full, replace(SETTINGS, case_pages=0, permutations=19), tmp_path / "out", seed=1)
    html = " ".join((tmp_path / "out" / "index.html").read_text().split())
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert "One site left out" in html
    assert metrics["left_out_sites"]["pooled"]["cmusnet"]["value"] == 1
    assert (
        metrics["left_out_sites"]["divided"]["cmusnet"] == metrics["models"]["cmusnet"]["pooled"]["balanced_accuracy"]
    )
    assert metrics["cohort"]["folds"] == 5
    (check,) = metrics["near_patients"]
    assert [(pair["first"], pair["second"]) for pair in check["pairs"]] == [("P001", "P002")]
    assert (check["modality"], check["cases"], check["divided"]) == ("OM", len(everyone), len(everyone))
    assert "Patients who may be one" in html
    assert f"this check would find {check['found']} of {check['divided']} patients" in html
    assert "cannot be read as dates" in html
    assert find_violations(tmp_path / "out" / "index.html", tmp_path, 400) == []
