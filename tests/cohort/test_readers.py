import pytest

from nephroscale.cohort.readers import Reading

READERS = "patient_id,reader,diagnosis\nA1,B,LN V\nA1,A,MN\nM1,A,?\n"


def test_readings_are_those_of_classes(tables):
    tables.readers = READERS
    assert tables.load().readings == (Reading("A", "A1", "MN"), Reading("A", "M1", None), Reading("B", "A1", "LN"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("A9,A,MN", "row 5, column patient_id: 'A9' is no case of the study."),
        ("A1,A,MN", "row 5, column reader: 'A' read A1 twice; keep one row."),
        ("A2,A,FSGS", "row 5, column diagnosis: task.classes has no meaning for 'FSGS'."),
        ("A2,,MN", "row 5, column reader: is empty, and is required."),
    ],
)
def test_faults_of_the_table_of_readers_are_named(tables, row, message):
    tables.readers = READERS + row + "\n"
    (fault,) = tables.errors()
    assert message in fault


def test_readings_name_biopsies(tables):
    tables.images = (
        "image_id,patient_id,biopsy_id,modality,stain,marker,path\nA1-1,A1,x,OM,PAS,,a.svs\nA1-2,A1,y,OM,PAS,,b.svs\n"
    )
    tables.readers = "patient_id,biopsy_id,reader,diagnosis\nA1,y,A,MN\n"
    ((_, case, label),) = tables.load().readings
    assert (tables.load().patients[case].biopsy, label) == ("y", "MN")
    tables.readers = "patient_id,reader,diagnosis\nA1,A,MN\n"
    assert "'A1' is no case" in tables.errors()[0]
