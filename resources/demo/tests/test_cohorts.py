"""The composition of the cohorts, and the agreement of the modalities with the table of lesions."""

import json
from collections import Counter

import numpy as np
import pytest

from nephroscale_demo.cohorts import COHORTS, PANEL, VARIANTS, make_cohort
from nephroscale_demo.fluorescence import FieldPlan
from nephroscale_demo.kidney import SlidePlan
from nephroscale_demo.lesions import LESIONS
from nephroscale_demo.pictures import TYPICAL
from nephroscale_demo.section import PATTERNS
from nephroscale_demo.tem import MicrographPlan
from nephroscale_demo.truth import cohort_json
from nephroscale_demo.write import do_work, tables_of


@pytest.fixture(scope="module")
def demo():
    return make_cohort("demo")


def images_of(draft, modality):
    found = {row.patient_id: [] for row in draft.patients}
    for image in draft.images:
        if image.modality == modality:
            found[image.patient_id].append(image)
    return found


def test_enough_patients_of_each_class_and_site(demo):
    people = [p for p in demo.patients if p.use == "diagnosis"]
    damaged = {w.path for w in demo.works if w.damage}
    om, tem = images_of(demo, "OM"), images_of(demo, "TEM")
    usable = [p for p in people if tem[p.patient_id] and any(i.path not in damaged for i in om[p.patient_id])]
    assert len(people) - len(usable) == 2
    assert min(Counter(p.diagnosis for p in usable).values()) >= 9
    assert min(Counter((p.diagnosis, p.site) for p in usable).values()) >= 4
    assert sum(p.use == "segmentation" for p in demo.patients) >= 4
    assert all(p.reason for p in demo.patients if p.use == "exclude")


def test_irregularities_of_real_cohorts_are_present(demo):
    om, tem = images_of(demo, "OM"), images_of(demo, "TEM")
    paths = [i.path for i in demo.images]
    assert any("肾" in path for path in paths)
    assert any("{" in path and " " in path for path in paths)
    assert sum(w.damage for w in demo.works) == 1
    unstated = {w.path for w in demo.works if isinstance(w.plan, SlidePlan) and not w.states_scale}
    assert {i.path for i in demo.images if i.modality == "OM" and i.mpp} == unstated != set()
    counts = Counter(len(t) for p, t in tem.items() if demo.patients[int(p[1:]) - 1].use == "diagnosis")
    assert counts[0] == 1
    assert counts[2] == 1
    assert any(len({i.biopsy_id for i in images}) == 2 for images in om.values())
    assert any(len(images) == 2 and not images[0].biopsy_id for images in om.values())
    assert {"pen", "blur"} <= {w.plan.artefact for w in demo.works if isinstance(w.plan, SlidePlan)}


def test_slides_are_large_and_all_patients_have_one_marker(demo):
    slides = [w.plan for w in demo.works if isinstance(w.plan, SlidePlan)]
    assert all(plan.width * plan.height >= 12e6 for plan in slides)
    assert all(5 <= plan.glomeruli <= 12 for plan in slides)
    assert {i.marker for i in demo.images if i.modality == "IM"} == {"IgG"}
    im = images_of(demo, "IM")
    assert all(im[p.patient_id] for p in demo.patients if p.use == "diagnosis")


def test_micrographs_have_their_number_and_magnification(demo):
    counts = {p: len(t) for p, t in images_of(demo, "TEM").items() if len(t) > 2}
    per_biopsy = [n for p, n in counts.items() if not images_of(demo, "TEM")[p][0].biopsy_id]
    assert set(per_biopsy) <= set(range(4, 9))
    assert len({w.plan.nm_per_px for w in demo.works if isinstance(w.plan, MicrographPlan)}) >= 3
    known = {(i.instrument, i.magnification): float(i.nm_per_px) for i in demo.instruments}
    plans = {w.plan.image_id: w.plan for w in demo.works}
    for image in demo.images:
        if image.instrument:
            assert known[image.instrument, image.magnification] == plans[image.image_id].nm_per_px


@pytest.mark.parametrize("name", sorted(COHORTS))
def test_modalities_agree_with_the_subtype_or_with_their_pictures(name):
    draft = make_cohort(name)
    subtype = {p.patient_id: p.subtype for p in draft.patients}
    rows = {i.image_id: i for i in draft.images}
    for work in draft.works:
        plan, row = work.plan, rows[work.plan.image_id]
        shown = draft.pictures.get(row.patient_id)
        look = LESIONS[TYPICAL[shown[row.modality]] if shown else subtype[row.patient_id]]
        if isinstance(plan, SlidePlan):
            assert plan.pattern == look.pattern
        elif isinstance(plan, MicrographPlan):
            assert plan.subepithelial in look.subepithelial
            assert (plan.subendothelial > 0) == (look.subendothelial[1] > 0)
            assert plan.mesangial <= look.mesangial[1]
        elif name != "demo_panel":
            staining = look.staining["IgG"]
            assert staining.mesangial[0] <= plan.mesangial <= staining.mesangial[1]
            assert staining.capillary[0] <= plan.capillary <= staining.capillary[1]


def test_lesions_follow_the_table():
    assert {look.pattern for look in LESIONS.values()} == set(PATTERNS)
    for key, look in LESIONS.items():
        assert key.startswith(look.diagnosis)
        full_house = {"IgA", "IgG", "IgM", "C3", "C1q"} <= set(look.staining)
        assert full_house == (look.diagnosis == "LN")
        assert bool(set(look.subepithelial) - {0}) == (look.diagnosis == "MN" or "LN-V" in key)
    assert LESIONS["MN-I"].pattern == LESIONS["IgAN-M0"].pattern
    assert LESIONS["MN-II"].pattern == LESIONS["LN-V"].pattern


def test_panel_has_its_exceptions():
    draft = make_cohort("demo_panel")
    diagnosis = {p.patient_id: p.diagnosis for p in draft.patients}
    strength = {
        w.plan.image_id: w.plan.mesangial + w.plan.capillary for w in draft.works if isinstance(w.plan, FieldPlan)
    }
    stained = {(i.patient_id, i.marker): strength.get(i.image_id, 0.0) for i in draft.images if i.modality == "IM"}
    assert any(value > 0.2 for (p, marker), value in stained.items() if marker == "C1q" and diagnosis[p] == "IgAN")
    houses = [min(stained[p, m] for m in PANEL) for p, d in diagnosis.items() if d == "LN" and (p, "IgG") in stained]
    assert min(houses) < 0.1 < max(houses)
    negatives = [i for i in draft.images if i.modality == "IM" and not i.path]
    assert negatives
    assert all(i.grade == "0" for i in negatives)


def test_stages_include_intermediate_and_rare_ones():
    draft = make_cohort("mn_stage")
    counts = Counter((p.use, p.mn_stage) for p in draft.patients)
    assert all(counts["diagnosis", stage] >= 8 for stage in ("I", "II", "III"))
    assert counts["diagnosis", "I-II"] >= 2
    assert counts["diagnosis", "IV"] >= 1
    assert all(counts["external", stage] == 2 for stage in ("I", "II", "III"))
    between = {p.patient_id for p in draft.patients if p.mn_stage == "I-II"}
    rows = {i.image_id: i.patient_id for i in draft.images}
    stages = {w.plan.subepithelial for w in draft.works if rows[w.plan.image_id] in between and hasattr(w.plan, "view")}
    assert stages == {1, 2}


def test_new_patients_have_no_label_in_their_table():
    draft = make_cohort("new")
    text = tables_of(draft)["patients.csv"]
    assert text.splitlines()[0] == "patient_id,site,age,sex"
    tem = images_of(draft, "TEM")
    assert [bool(tem[p.patient_id]) for p in draft.patients] == [True, True, False]
    assert {i.exposure_ms for i in draft.images if i.patient_id == "N02" and i.modality == "IM"} == {"auto"}


def test_truth_names_every_image(demo):
    truth = json.loads(cohort_json(demo))
    assert {name for patient in truth.values() for name in patient["images"]} == {i.image_id for i in demo.images}


def test_without_signal_the_diagnoses_are_permuted_and_the_images_stay(demo):
    variant = make_cohort("demo", "no-signal")
    assert variant.works == demo.works
    assert [p.patient_id for p in variant.patients] == [p.patient_id for p in demo.patients]
    pairs = list(zip(variant.patients, demo.patients, strict=True))
    assert Counter(v.diagnosis for v, _ in pairs) == Counter(d.diagnosis for _, d in pairs)
    moved = [v.diagnosis != d.diagnosis for v, d in pairs if d.use == "diagnosis"]
    assert len(moved) / 3 < sum(moved) < len(moved)


def test_a_shortcut_ties_the_site_to_the_diagnosis(demo):
    def southern(draft, *diagnoses):
        return np.mean([p.site == "south" for p in draft.patients if p.use == "diagnosis" and p.diagnosis in diagnoses])

    variant = make_cohort("demo", "shortcut")
    assert southern(variant, "LN") >= 0.8
    assert southern(variant, "IgAN", "MN") <= 0.2
    assert 0.3 < southern(demo, "LN") < 0.7
    assert {p.site: p.scanner for p in variant.patients} == {"north": "scanner A", "south": "scanner B"}


@pytest.mark.slow
def test_duplicates_have_the_same_bytes_under_other_names(demo, tmp_path):
    variant = make_cohort("demo", "duplicates")
    added = variant.patients[len(demo.patients) :]
    assert [p.patient_id for p in added] == ["CP01", "CP02", "CP03"]
    paths = [work.path for work in variant.works]
    assert len(set(paths)) == len(paths)
    assert {i.path for i in variant.images} == set(paths)
    assert len({i.image_id for i in variant.images}) == len(variant.images)
    copies = variant.works[len(demo.works) :]
    copy = next(work for work in copies if isinstance(work.plan, MicrographPlan))
    original = next(work for work in demo.works if work.plan == copy.plan)
    for work in (copy, original):
        do_work(work, tmp_path)
    assert (tmp_path / copy.path).read_bytes() == (tmp_path / original.path).read_bytes()


def test_only_the_demo_has_variants():
    for name, variant in (("tiny", VARIANTS[0]), ("demo", "other")):
        with pytest.raises(ValueError, match="There is no variant"):
            make_cohort(name, variant)
