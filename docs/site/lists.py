"""Indent lists as Python-Markdown reads them."""

import re

ITEM = re.compile(r"(?:[-*+]|\d+[.)])\s+")
FENCE = re.compile(r"`{3,}|~{3,}")


def indent_lists(markdown: str) -> str:
    """Indent what is within a list item by four spaces for each level; GitHub needs only the width of the marker."""
    lines: list[str] = []
    widths: list[int] = []  # columns where the text of the open items begins
    fence = ""
    for line in markdown.split("\n"):
        text = line.lstrip(" ")
        column = len(line) - len(text)
        if not text:
            lines.append("")
            continue
        if not fence:
            while widths and column < widths[-1]:
                widths.pop()
        within = widths[-1] if widths else 0
        lines.append(" " * (4 * len(widths) + max(0, column - within)) + text)
        if found := FENCE.match(text):
            fence = "" if fence and text.startswith(fence) else fence or found.group()
        elif not fence and (marker := ITEM.match(text)):
            widths.append(column + len(marker.group()))
    return "\n".join(lines)
