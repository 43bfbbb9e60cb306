import pytest

from nephroscale.evaluation.out_of_range import ImageExtent, known_ranges, list_warnings
from nephroscale.slides.facts import ImageFacts, Scale


def facts(value, width=1000, source="table"):
    return ImageFacts("accepted", digest="0" * 64, width=width, scale=Scale(value, "um", source))


def rejected(reason):
    return ImageFacts("rejected", reason=reason, digest="0" * 64)


TRAINING = [("TEM", facts(6.0)), ("TEM", facts(9.0)), ("OM", facts(0.5)), ("TEM", rejected("dark"))]
RANGES = known_ranges(ImageExtent.from_facts(*image) for image in TRAINING)


def test_ranges_of_the_training_images():
    assert RANGES == {"TEM": {"scale": (6.0, 9.0), "field": (6.0, 9.0)}, "OM": {"scale": (0.5, 0.5)}}


@pytest.mark.parametrize(
    ("images", "warnings"),
    [
        ({"A": ("TEM", facts(8.0))}, []),
        ({"A": ("TEM", facts(30.0, 250))}, ["A is 30 nm per pixel; training images are 6 to 9"]),
        ({"A": ("TEM", facts(8.0, 4000))}, ["A is 32 µm wide; training images are 6 to 9"]),
        ({"A": ("OM", facts(2.0))}, ["A is 2 µm per pixel; training images are 0.5 to 0.5"]),
        ({"A": ("OM", facts(2.0, source="whole"))}, []),
        ({"A": ("TEM", ImageFacts("accepted", digest="0" * 64, width=9))}, ["A has no known scale"]),
        ({"A": ("TEM", rejected("cut off"))}, ["A was rejected: cut off"]),
    ],
)
def test_images_outside_the_training_range_give_warnings(images, warnings):
    extents = {name: ImageExtent.from_facts(*image) for name, image in images.items()}
    assert list_warnings({}, extents, RANGES, []) == warnings


def test_missing_modalities_and_unknown_exposure_give_warnings():
    found = list_warnings({"OM": "no slide"}, {}, RANGES, ["X-IgG"])
    assert found[0] == "OM is missing: no slide"
    assert found[1].startswith("X-IgG is pattern-only")
