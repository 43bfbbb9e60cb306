import json

import numpy as np
import pytest

from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.slides.facts import describe
from nephroscale.slides.reference import choose_medoid, fit_reference, read_reference, write_reference


@pytest.fixture(scope="module")
def slides(slide, make_row):
    facts = describe(slide, "OM", make_row("OM"))
    return [(slide, facts, "HE"), (slide, facts, "HE"), (slide, {"status": "rejected", "reason": "x"}, "HE")]


def test_the_reference_is_one_of_its_slides(slides, om_settings):
    reference = fit_reference(slides, om_settings)
    assert list(reference) == ["HE"]
    assert (reference["HE"]["slides"], reference["HE"]["rejected"]) == (2, 1)
    fit = reference["HE"]["macenko"]
    assert fit["fault"] is None
    np.testing.assert_allclose(np.linalg.norm(fit["matrix"], axis=0), 1, atol=1e-5)
    assert np.abs(np.array(fit["white"]) - 245).max() < 3
    # The tissue was drawn with eosin and haematoxylin.
    assert np.array(fit["matrix"])[:, 1] @ [0.22, 0.80, 0.56] > 0.98
    assert reference == fit_reference(slides, om_settings)


def test_writing_and_reading(slides, om_settings, tmp_path):
    figures = write_reference(slides, om_settings, tmp_path / "r.json")
    assert figures == {"slides": {"HE": 2}, "rejected_slides": 1}
    assert read_reference(tmp_path / "r.json", om_settings, "OM") == fit_reference(slides, om_settings)
    assert read_reference(tmp_path / "r.json", om_settings, "IM") is None
    assert read_reference(tmp_path / "r.json", {**om_settings, "normalisation": "none"}, "OM") is None
    assert read_reference(None, om_settings, "OM") is None


def test_no_readable_slide_gives_no_reference(slides, om_settings, tmp_path):
    with pytest.raises(Rejected, match="no slide"):
        write_reference(slides[2:], om_settings, tmp_path / "r.json")


def test_the_shipped_file_serves_as_reference(root, om_settings):
    settings = {**om_settings, "reference": str(root / "resources/stain/he.json")}
    reference = read_reference(None, settings, "OM")
    assert list(reference) == ["HE"]
    assert json.dumps(reference)


def test_a_reference_that_is_no_json_is_an_error(om_settings, tmp_path):
    (tmp_path / "r.json").write_text("{")
    with pytest.raises(NephroscaleError, match="cannot be read"):
        read_reference(tmp_path / "r.json", om_settings, "OM")


def test_the_reference_lies_in_the_midst_and_is_real():
    def fit(*mean, fault=None):
        return {"mean": list(mean), "deviation": [10.0, 5.0, 5.0], "glass": 95.0, "fault": fault}

    fits = [fit(60, 20, -5), fit(61, 21, -6), fit(59, 19, -4), fit(62, -30, 9), fit(0, 0, 0, fault="too few")]
    keys = ("mean", "deviation", "glass")
    assert choose_medoid(fits, keys) is fits[0]
    assert choose_medoid(fits[::-1], keys) is fits[0]
    assert choose_medoid(fits[3:4] + fits[:1], keys) is fits[3], "of two the first, and never what lies between"
    assert choose_medoid(fits[4:], keys) is None
    assert choose_medoid([], keys) is None
