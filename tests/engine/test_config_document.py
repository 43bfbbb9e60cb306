import pytest

from nephroscale.cohort.schemas import read_schema
from nephroscale.engine.config_document import PAGE, document


def test_the_committed_page_is_what_the_schemas_make() -> None:
    assert PAGE.read_text(encoding="utf-8") == document(), "config/README.md is outdated; run `make docs`"


def test_every_key_has_a_meaning() -> None:
    rows = [line for line in document().splitlines() if line.startswith("| `")]
    assert len(rows) > 90
    for row in rows:
        cells = [cell.strip() for cell in row.replace("\\|", "").strip("|").split("|")]
        assert all(cells), row
        assert cells[-1].endswith("."), row


@pytest.mark.parametrize("name", ["patients", "images", "instruments"])
def test_every_column_is_on_the_page(name) -> None:
    page = document()
    assert all(f"| `{column}` |" in page for column in read_schema(name)["properties"])
