import pytest

from support.ordered_classes import LABELS, PATIENTS, PREDICTED, describe, make_run


def test_ordinal_metrics_are_computed_for_ordered_classes_only():
    given = make_run(PATIENTS, LABELS, PREDICTED, heads=("softmax", "ordinal"))
    assert describe(given)["ordinal"] is None
    found = describe(given, ordinal=True)["ordinal"]
    assert found["mean_class_error"]["value"] == pytest.approx(0.5)
    assert found["one_class_off"]["value"] == pytest.approx(1 / 6, abs=1e-6)
    assert found["quadratic_kappa"]["low"] <= found["quadratic_kappa"]["value"] <= found["quadratic_kappa"]["high"]
    assert set(found["heads"]) == {"softmax", "ordinal"}
    assert found["heads"]["ordinal"]["quadratic_kappa"] == found["quadratic_kappa"]
