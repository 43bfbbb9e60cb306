"""Which modules of tests are not imported for a selection by marks."""

import pytest

from support.marked_modules import selects_nothing

SLOW = "import pytest\n\npytestmark = pytest.mark.slow  # all\n"
MOST = "not cluster and not emulated and not installed and not long"
QUICK = "not workflow and not slow and not cluster and not long"


@pytest.mark.parametrize(
    ("expression", "source", "expected"),
    [
        (QUICK, SLOW, True),
        (QUICK, "import pytest\n\n\n@pytest.mark.slow\ndef test(): ...\n", False),
        (QUICK, "pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings('ignore')]\n", True),
        (QUICK, "pytestmark = pytest.mark.slow if LARGE else []\n", False),
        (QUICK, "pytestmark = pytest.mark.skipif(True, reason='slow')\n", False),
        (MOST, SLOW, False),
        (MOST, "pytestmark = [pytest.mark.emulated, pytest.mark.slow]\n", True),
        ("slow", SLOW, False),
        ("slow and workflow", SLOW, False),  # one of its tests may be of both
        ("not slow or workflow", SLOW, False),
    ],
)
def test_a_module_is_left_out_only_where_no_further_mark_selects_a_test(expression, source, expected):
    assert selects_nothing(expression, source) == expected
