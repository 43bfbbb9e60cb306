import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.tables import (
    InstanceWeight,
    format_cell,
    read_instances,
    read_predictions,
    write_rows,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "1"), (False, "0"), (3, "3"), ("x", "x"), (0.5, "0.50000000"), (-1e-12, "0.00000000")],
)
def test_cells_have_one_format(value, text):
    assert format_cell(value) == text


def test_instance_weights_are_read_as_they_were_written(tmp_path):
    rows = [
        InstanceWeight("P1", "P1-T1", 0, kept=True, centre=True, weight=1.0, distance=0.0),
        InstanceWeight("P1", "P1-T2", 1, kept=False, centre=False, weight=0.0, distance=None),
    ]
    write_rows(tmp_path / "instances.csv", InstanceWeight, rows)
    assert read_instances(tmp_path / "instances.csv") == rows


def test_predictions_of_other_classes_are_refused(tmp_path):
    (tmp_path / "p.csv").write_text("patient_id,label,predicted,p_A,p_B\nP1,A,A,0.9,0.1\n")
    assert read_predictions(tmp_path / "p.csv", ["A", "B"]).labels.tolist() == [0]
    for classes in (["A", "C"], ["B", "C"]):
        with pytest.raises(NephroscaleError, match=", ".join(classes)):
            read_predictions(tmp_path / "p.csv", classes)
