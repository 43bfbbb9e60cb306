import pytest

from nephroscale.cohort import parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8000", 8000),
        ("11,500x", 11500),
        ("×11500", 11500),
        ("11.5k", 11500),
        ("11 500 X", 11500),
        ("1,0", None),
        ("high", None),
        ("0", None),
    ],
)
def test_magnifications(text, value) -> None:
    assert parse.magnification(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("±", 0.5),
        ("1+", 1),
        ("2", 2),
        ("+++", 3),
        ("4+", 4),
        ("1.5", 1.5),
        ("Negative", 0),
        ("4.5", None),
        ("5", None),
        ("1-2", None),
        ("", None),
    ],
)
def test_grades(text, value) -> None:
    assert parse.grade(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.5", 0.5), ("5e-1", 0.5), (".5", 0.5), ("0,5", None), ("nan", None), ("１", None), ("", None)],
)
def test_numbers(text, value) -> None:
    assert parse.number(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-05-31", "2024-05-31"),
        ("2024/05/31 14:03", "2024-05-31"),
        ("2024-05-31T14:03:00Z", "2024-05-31"),
        ("20240531", "2024-05-31"),
        (" 31.5.2024 ", "2024-05-31"),
        ("2024-05", "2024-05-01"),
        ("2024", "2024-01-01"),
        ("2024-13-01", None),
        ("31.02.2024", None),
        ("03/04/2024", None),
        ("2024-0531", None),
        ("unknown", None),
        ("", None),
    ],
)
def test_dates(text, value) -> None:
    found = parse.date(text)
    assert (found and found.isoformat()) == value
