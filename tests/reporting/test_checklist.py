import json
import re

import pytest

from nephroscale.reporting.checklist import Study, choose_references, fill_checklists, write_checklist, write_methods
from nephroscale.reporting.report import write_report
from nephroscale.reporting.settings import ReportSettings
from nephroscale.reporting.study_values import Trained
from support.accessibility import find_violations

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(inputs, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "out"
    write_report(inputs, ReportSettings(swaps=200, case_pages=0), out, seed=1)
    metrics = json.loads((out / "metrics.json").read_text())
    encoders = {"OM": "resnet50, frozen"}
    trained = Trained("cmusnet", encoders, False, 1e-3, 1e-5, 5e-5, 4, 60, 20, [3, 40], 1000, standardised=True)
    metrics["trained"] = {"cmusnet": vars(trained)}
    return Study(metrics, {"macenko": 30}, "mask", True, "9.9"), (out / "index.html").read_text()


def test_the_lists_are_complete(study):
    lists = fill_checklists(study[0])
    numbers = {name: [item.number for item in items] for name, items in lists.items()}
    assert numbers["CLAIM 2024"] == [str(number) for number in range(1, 45)]
    whole = {name: {int(re.sub(r"[a-g]$", "", number)) for number in found} for name, found in numbers.items()}
    assert whole["TRIPOD+AI"] == set(range(1, 28))
    assert len(numbers["TRIPOD+AI"]) == 52
    assert whole["STARD-AI"] == set(range(1, 41))
    assert len(numbers["STARD-AI"]) == 48
    assert all(len(found) == len(set(found)) for found in numbers.values())


def test_evidence_is_linked_to_sections_that_exist_and_absent_evidence_is_not_claimed(study):
    filled, page = study
    items = [item for found in fill_checklists(filled).values() for item in found]
    anchors = {item.evidence.place[1:] for item in items if item.evidence and item.evidence.place.startswith("#")}
    assert len(anchors) > 5
    assert not [anchor for anchor in anchors if f'id="{anchor}"' not in page]
    reference = next(item for item in items if item.item == "Reference standard")
    assert reference.evidence is None
    stated = {
        **filled.metrics,
        "reference_standard": {"read_by": "two pathologists", "blinded": None, "agreement": None},
    }
    lists = fill_checklists(Study(stated, {"macenko": 30}, "mask", True, "9.9"))
    assert (
        next(i for i in lists["STARD-AI"] if i.item == "Reference standard").evidence.text
        == "Read by: two pathologists"
    )


def test_the_paragraph_has_the_numbers_of_the_study(study):
    text = write_methods(study[0])
    value = study[0].metrics["models"]["cmusnet"]["pooled"]["balanced_accuracy"]["value"]
    parts = ("27 patients (9 IgAN, 9 MN, 9 LN)", "5 folds", "resnet50", "0.001", "60 epochs", f"{value:.3f}")
    parts += ("excluded cases: 1 (no TEM: 1)", "OM: resnet50, frozen.")
    parts += ("Stain normalisation of the slides: Macenko (30 slides).",)
    for part in (*parts, "standardised by its mean and standard deviation on the training side"):
        assert part in text


@pytest.mark.parametrize(
    ("facts", "text", "place"),
    [({}, "Subgroups", "#subgroups"), ({"p": 0.1}, "What acquisition data alone predict, subgroups", "#headline")],
)
def test_robustness_names_what_the_study_has(study, facts, text, place):
    metrics = {**study[0].metrics, "facts": facts, "repeats": None, "left_out_sites": None}
    lists = fill_checklists(Study(metrics, {"macenko": 30}, "mask", True, "9.9"))
    robust = next(item for item in lists["CLAIM 2024"] if item.number == "30")
    assert robust.evidence == (text, place)


def test_external_patients_are_stated_with_their_figure_and_differences_are_left_to_the_authors(study):
    pooled = {"balanced_accuracy": {"value": 0.778, "low": 0.451, "high": 0.937}}
    metrics = {**study[0].metrics, "external": {"cmusnet": {"patients": 9, "pooled": pooled}}}
    filled = Study(metrics, {"macenko": 30}, "mask", True, "9.9")
    sentence = "9 external cases with a balanced accuracy of 0.778 (95 % interval 0.451 to 0.937)"
    assert f"{sentence}." in write_methods(filled)
    lists = {name: {item.number: item.evidence for item in items} for name, items in fill_checklists(filled).items()}
    assert sentence in lists["CLAIM 2024"]["33"].text
    assert lists["TRIPOD+AI"]["16"] is None
    assert lists["STARD-AI"]["29"] is None


def test_the_paragraph_has_the_declared_endpoint(study):
    primary = {"metric": "balanced_accuracy", "contrasts": ["om-only", "tem-only"], "date": "2026-11-01"}
    declared = Study({**study[0].metrics, "primary": primary}, {"macenko": 30}, "mask", True, "9.9")
    sentence = (
        "declared on 2026-11-01, was the difference in balanced accuracy between cmusnet and om-only and tem-only"
    )
    assert sentence in write_methods(declared)
    assert "primary endpoint, declared" not in write_methods(study[0])


def test_references_are_those_of_what_was_used(study):
    keys = re.findall(r"@\w+\{(\w+),", choose_references(study[0]))
    assert {
        "long2025",
        "he2016",
        "macenko2009",
        "ronneberger2015",
        "tejani2024",
        "sounderajah2025",
        "bonett2012",
        "newcombe2006",
        "northcutt2021",
    } <= set(keys)
    assert not {"reinhard2001", "liu2021", "shao2021", "holm1979", "nadeau2003", "vickers2006", "cohen1968"} & set(keys)
    assert len(keys) == len(set(keys))


def test_page_and_text_say_the_same(study, tmp_path):
    counts = write_checklist(study[0], tmp_path / "out", "../results")
    text, page = ((tmp_path / "out" / name).read_text() for name in ("checklist.md", "index.html"))
    assert text.count("**You must write this.**") == page.count("You must write this.") == sum(counts.values())
    assert "(../results/report.html#cohort)" in text
    assert "`" not in page
    assert find_violations(tmp_path / "out" / "index.html", tmp_path, 400) == []
