import numpy as np
import pytest

from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.slides.facts import ImageFacts, describe_image
from nephroscale.slides.reference import (
    ReferenceSlide,
    choose_medoid,
    fit_reference,
    read_reference,
    write_reference,
)
from nephroscale.slides.stain import ReinhardFit


@pytest.fixture(scope="module")
def slides(slide, make_row):
    facts = describe_image(slide, make_row("OM"))
    return [ReferenceSlide(slide, one, "HE") for one in (facts, facts, ImageFacts.rejected("x"))]


@pytest.mark.slow
def test_the_reference_is_one_of_its_slides(slides, om_settings):
    reference = fit_reference(slides, om_settings)
    assert list(reference) == ["HE"]
    assert (reference["HE"].slides, reference["HE"].rejected) == (2, 1)
    fit = reference["HE"].macenko
    assert fit.fault is None
    np.testing.assert_allclose(np.linalg.norm(fit.matrix, axis=0), 1, atol=1e-5)
    assert np.abs(np.array(fit.white) - 245).max() < 3
    # The tissue was made with eosin and haematoxylin.
    assert np.array(fit.matrix)[:, 1] @ [0.22, 0.80, 0.56] > 0.98
    assert reference == fit_reference(slides, om_settings)


@pytest.mark.slow
def test_writing_and_reading(slides, om_settings, tmp_path):
    figures = write_reference(slides, om_settings, tmp_path / "r.json")
    assert figures == {"slides": {"HE": 2}, "rejected_slides": 1}
    assert read_reference(tmp_path / "r.json") == fit_reference(slides, om_settings)


def test_no_readable_slide_gives_no_reference(slides, om_settings, tmp_path):
    with pytest.raises(Rejected, match="no slide"):
        write_reference(slides[2:], om_settings, tmp_path / "r.json")


def test_the_shipped_file_serves_as_reference(root):
    reference = read_reference(root / "resources/stain/he.json")
    assert list(reference) == ["HE"]
    assert reference["HE"].macenko is not None
    assert reference["HE"].reinhard is None


@pytest.mark.parametrize("text", ["{", "[]", '{"HE": {"macenko": {"matrix": 1}}}'])
def test_a_file_that_is_not_a_reference_is_an_error(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(NephroscaleError, match="cannot be read"):
        read_reference(tmp_path / "r.json")


def test_the_reference_is_the_medoid_of_the_fits():
    def fit(*mean, fault=None):
        return ReinhardFit(list(mean), [10.0, 5.0, 5.0], 95.0, fault)

    fits = [fit(60, 20, -5), fit(61, 21, -6), fit(59, 19, -4), fit(62, -30, 9), fit(0, 0, 0, fault="too few")]
    assert choose_medoid(fits) is fits[0]
    assert choose_medoid(fits[::-1]) is fits[0]
    assert choose_medoid(fits[3:4] + fits[:1]) is fits[3], "of two the first, never their mean"
    assert choose_medoid(fits[4:]) is None
    assert choose_medoid([]) is None
