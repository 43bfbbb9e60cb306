"""Modules of tests whose own marks keep all their tests out of a selection, so that they need not be imported."""

from __future__ import annotations

import re
from itertools import combinations

from _pytest.mark.expression import Expression

#: The marks by which tests are selected.
MARKS = ("workflow", "slow", "long", "cluster", "emulated", "installed")
MARKED = re.compile(r"^pytestmark = ((?!.* if ).*)$", re.MULTILINE)


def selects_nothing(expression: str, source: str) -> bool:
    """Whether an expression of marks selects no test of a module, whatever further marks its tests have.

    Parameters
    ----------
    expression
        As after `pytest -m`.
    source
        Text of the module. Its marks are those on the line of `pytestmark`.
    """
    line = MARKED.search(source)
    own = {name for name in MARKS if line and re.search(rf"\bmark\.{name}\b", line[1])}
    if not own:
        return False
    others = [name for name in MARKS if name not in own]
    compiled = Expression.compile(expression)
    further = [own | {*names} for number in range(len(others) + 1) for names in combinations(others, number)]
    return not any(compiled.evaluate(lambda name, marks=marks, **_: name in marks) for marks in further)
