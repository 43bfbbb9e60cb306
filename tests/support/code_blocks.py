"""The fenced code blocks of the documentation."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "config/README.md",
    *sorted((ROOT / "resources").rglob("README.md")),
]
MARKS = frozenset({"long", "slurm", "gpu"})
FENCE = re.compile(r"^(?P<indent> *)```(?P<info>.*)$")
COMMENT = re.compile(r"^ *<!-- *(?P<marks>[a-z ]+?) *-->$")


@dataclass(frozen=True)
class Block:
    """A code block: its page, the line of its opening fence, its language, its marks and its text."""

    page: Path
    line: int
    language: str
    marks: frozenset[str]
    text: str

    @property
    def lines(self) -> range:
        """Numbers of its lines in the page, fences included."""
        return range(self.line, self.line + self.text.count("\n") + 2)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def read_blocks(page: Path, text: str | None = None) -> list[Block]:
    """Read the code blocks of a page.

    A block is marked by words after its language (```` ```sh long ````) or by an HTML comment in the line before it
    (``<!-- long -->``).
    """
    lines = (page.read_text(encoding="utf-8") if text is None else text).splitlines()
    blocks: list[Block] = []
    opened: tuple[int, str, frozenset[str]] | None = None
    for number, line in enumerate(lines):
        fence = FENCE.match(line)
        if fence is None:
            continue
        if opened is None:
            language, *words = fence["info"].split() or [""]
            comment = COMMENT.match(lines[number - 1]) if number else None
            words += comment["marks"].split() if comment else []
            opened = number, language, frozenset(words)
        else:
            start, language, marks = opened
            body = textwrap.dedent("\n".join(lines[start + 1 : number])) + "\n"
            blocks.append(Block(page, start + 1, language, marks, body))
            opened = None
    assert opened is None, f"{page}: the block of line {opened[0] + 1} is not closed"
    return blocks
