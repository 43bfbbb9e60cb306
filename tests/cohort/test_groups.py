"""Groups are written in one way, and all their patients have one use."""

import pytest

from nephroscale.cohort.groups import join_linked
from nephroscale.cohort.patient import PatientRow


def test_names_that_differ_by_spaces_case_or_width_are_one_group_and_this_is_noted(tables) -> None:
    tables.patients = tables.patients.replace("A2,IgA nephropathy,,,F1", "A2,IgA nephropathy,,,f 1").replace(
        "L1,LN IV,,,,", "L1,LN IV,,,Ｆ1,"
    )
    cohort = tables.load()
    assert {cohort.patients[name].group for name in ("A2", "M1", "L1")} == {"F1"}
    (note,) = cohort.notes
    assert note.endswith("column group: the groups 'F1', 'f 1', 'Ｆ1' are taken as one, 'F1'.")
    tables.patients = tables.patients.replace("f 1", "F1").replace("Ｆ1", "F1")
    assert tables.load() == cohort
    assert tables.load().notes == ()


def test_linked_cases_are_in_one_group():
    rows = [
        PatientRow(name, "A", group=group)
        for name, group in zip("abcdef", (None, "F", "F", None, None, None), strict=True)
    ]
    joined = join_linked(rows, [("d", "c"), ("e", "x"), ("x", "f")])
    groups = {row.id: row.group for row in joined}
    assert groups["b"] == groups["c"] == groups["d"] != groups["e"] == groups["f"]
    assert groups["a"] is None
    assert join_linked(rows, []) == rows


@pytest.mark.parametrize("use", ["external", "segmentation"])
def test_a_group_of_two_uses_is_an_error(tables, use) -> None:
    tables.patients += f"E1,MN,{use},,f1,south,,\n"
    (error,) = tables.errors()
    assert error.startswith("patients.csv, column group: the group 'F1' has patients of several uses")
    assert f"(diagnosis: A2, M1; {use}: E1)" in error
    tables.patients = tables.patients.replace(f"{use},,", "exclude,sibling of A2,")
    assert tables.load().patients["E1"].status == "exclude"


def test_the_group_of_a_new_patient_is_none_of_the_study_s(tables) -> None:
    (tables.folder / "new.csv").write_text("patient_id,group\nN1,F 1\n")
    (tables.folder / "new_images.csv").write_text("image_id,patient_id,modality,path\nN1-T,N1,TEM,n1.tif\n")
    tables.more = {
        "predict": {"patients": str(tables.folder / "new.csv"), "images": str(tables.folder / "new_images.csv")}
    }
    (error,) = tables.errors()
    assert "(diagnosis: A2, M1; new: N1)" in error
    (tables.folder / "new.csv").write_text("patient_id,group\nN1,F2\n")
    assert tables.load().patients["N1"].group == "F2"
