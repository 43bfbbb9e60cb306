import pytest

from nephroscale.glomeruli.classes import DEFAULT_CLASSES, classify, is_named


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("Glomerulus", "glomerulus"),
        ("GLOMERULI", "glomerulus"),
        ("glomerulus_12", "glomerulus"),
        ("Normal glomerulus", "glomerulus"),
        ("NormalGlomerulus", "glomerulus"),
        ("Glomerulus: PAS", "glomerulus"),
        ("肾小球", "glomerulus"),
        ("正常肾小球", "glomerulus"),
        ("Sclerosed", "sclerosed"),
        ("Glomerulus: Sclerosed", "sclerosed"),
        ("globally_sclerotic_glomeruli", "sclerosed"),
        ("硬化肾小球", "sclerosed"),
        ("non_globally_sclerotic_glomeruli", "glomerulus"),
        ("Non-sclerosed glomerulus", "glomerulus"),
        ("Annotated area", "annotated area"),
        ("Annotated areas", "annotated area"),
        ("ANNOTATED_REGIONS", "annotated area"),
        ("Non-glomerulus", "other"),
        ("NonGlomerulus", "other"),
        ("Not a glomerulus", "other"),
        ("no glomeruli", "other"),
        ("非肾小球", "other"),
        ("肾小球旁器", "other"),
        ("peri-glomerulus", "other"),
        ("Region (glomeruli annotated here)", "other"),
        ("Glomerulus*", "other"),
        ("Annotated area*", "other"),
        ("Periglomerular fibrosis", None),
        ("Juxtaglomerular apparatus", None),
        ("non_glomerular tissue", None),
        ("Segmentally sclerosed glomerulus", "glomerulus"),
        ("glom?", "other"),
        ("Glomerulus (possible)", "other"),
        ("glom-neg", "other"),
        ("Glomeruli (do not use)", "other"),
        ("Glomeruli excluded", "other"),
        ("missing glomerulus", "other"),
        ("glomerulus-like structure", "other"),
        ("glomerulus (wrong)", "other"),
        ("Glomerulus_Sclerosed_NO", "other"),
        ("hole in glomerulus", "other"),
        ("Glom FP", "other"),
        ("Glom-free zone", "other"),
        ("Not sure glom", "other"),
        ("Glomerulus not counted", "other"),
        ("Glomerulus (not)", "other"),
        ("Glomerulus: 0", "other"),
        ("Glom -", "other"),
        ("Glomerulus / non-glomerulus", "other"),
        ("Podocytes in glomerulus", "other"),
        ("un-sclerosed glomerulus", "glomerulus"),
        ("focally sclerosed glom", "glomerulus"),
        ("Glom 50% sclerosed", "glomerulus"),
        ("sclerosed 100 % glomerulus", "sclerosed"),
        ("Glomerulus border", "other"),
        ("rim of glomerulus", "other"),
        ("focal glomerulus", "glomerulus"),
        ("Glomerulus: 1", "glomerulus"),
        ("Glomerulus without crescent", "glomerulus"),
        ("Glomerulus, no sclerosis", "glomerulus"),
        ("GLOM_LN4", "glomerulus"),
        ("Tubule", None),
        ("conglomerate", None),
        ("Non-sclerosed", "other"),
        ("", None),
    ],
)
def test_default_classes(label: str, kind: str | None) -> None:
    found, why = classify((label,), DEFAULT_CLASSES)
    assert found == kind
    assert bool(why) == (kind == "other")


def test_the_name_of_a_class_itself_always_counts() -> None:
    classes = {"Region*": "annotated area", "Not a glomerulus": "other", "obsolescent": "sclerosed"}
    assert classify(("region*",), classes) == ("annotated area", "")
    assert classify(("Not a glomerulus",), classes) == ("other", "")
    assert classify(("Obsolescent tuft",), classes) == ("sclerosed", "")
    assert classify(("Glomerulus",), classes) == (None, "")


def test_the_first_label_that_matches_decides() -> None:
    assert classify(("check again", "Glomeruli"), DEFAULT_CLASSES)[0] == "glomerulus"
    assert classify(("not a glomerulus", "Glomeruli"), DEFAULT_CLASSES)[0] == "other"


def test_default_names_are_no_classes() -> None:
    assert not any(is_named(label) for label in ("", "Layer 1", "Annotation 0", "None", "ROI_2", " 12 "))
    assert all(is_named(label) for label in ("Tubule", "Layer of tubules", "小管"))
