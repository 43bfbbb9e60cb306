"""Lists of the documentation site, which Python-Markdown reads otherwise than GitHub."""

import importlib.util
from typing import Any

import pytest

from support.code_blocks import ROOT


@pytest.fixture(scope="module")
def lists() -> Any:
    spec = importlib.util.spec_from_file_location("lists", ROOT / "docs/site/lists.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("written", "indented"),
    [
        ("1. one\n   more\n   - within\n2. two", "1. one\n    more\n    - within\n2. two"),
        ("- one\n  - within\n    text\n- two\n\nend", "- one\n    - within\n        text\n- two\n\nend"),
        (
            "1. run\n\n   ```sh\n   - no item\n     x\n   ```\n\n   then\n2. two",
            "1. run\n\n    ```sh\n    - no item\n      x\n    ```\n\n    then\n2. two",
        ),
        ("10. ten\n    - within\nplain", "10. ten\n    - within\nplain"),
        ("```yaml\n- a\n  b: 1\n```\n- a\n  text", "```yaml\n- a\n  b: 1\n```\n- a\n    text"),
    ],
)
def test_what_is_within_an_item_is_indented_by_four_spaces(lists: Any, written: str, indented: str) -> None:
    assert lists.indent_lists(written) == indented
