import subprocess
import sys

import pytest

from nephroscale.cohort.document import PAGE, document
from nephroscale.cohort.schemas import read_schema


def test_the_committed_page_is_what_the_schemas_make() -> None:
    told = "config/README.md is out of date; run: python -m nephroscale.cohort.document"
    assert PAGE.read_text(encoding="utf-8") == document(), told


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


def test_the_configuration_is_light_to_import() -> None:
    heavy = "{'numpy', 'pandas', 'jsonschema', 'openpyxl', 'torch', 'sklearn'} & set(sys.modules)"
    code = f"import sys; from nephroscale.cohort import config, tables, folds; sys.exit(bool({heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
