"""The resources of a job, evaluated once for all jobs of a rule where they cannot differ between them."""

# ruff: noqa: SLF001  (Snakemake has no interface for this)

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import wraps
from typing import Any

# What an expression for a resource may contain if it is to give the same for all jobs of a rule.
SAME_FOR_RULE = {"attempt", "threads", "system_tmpdir", "max", "min", "int", "float", "round"}
MARK = "same_for_rule"


def quicken_resources() -> None:
    """Let Snakemake 9.27.1 evaluate such resources once in this process."""
    from snakemake.iocontainers import ResourceList
    from snakemake.rules import Rule

    Rule.expand_resources = expand_resources(Rule.expand_resources, ResourceList)


def same_for_rule(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a function for `resources` that gives the same for all jobs of a rule in their first, second ... attempt."""
    setattr(function, MARK, True)
    return function


def expand_resources(before: Callable[..., Any], container: Any) -> Callable[..., Any]:
    """Evaluate once for all jobs of a rule what cannot differ between them."""
    known: dict[tuple[int, int, frozenset[str]], tuple[Any, dict[str, object] | None]] = {}

    @wraps(before)
    def expand(self: Any, wildcards: Any, input: Any, attempt: int, skip_evaluation: Any = None) -> Any:  # noqa: A002
        key = (id(self), attempt, frozenset(skip_evaluation or ()))
        if key in known and known[key][1] is not None:
            return container(fromdict=known[key][1])
        found = before(self, wildcards, input, attempt, skip_evaluation=skip_evaluation)
        if key not in known:
            same = all(is_same_for_rule(each) for each in self.resources.values())
            known[key] = (self, dict(found.items()) if same else None)
        return found

    return expand


def is_same_for_rule(resource: Any) -> bool:
    """Whether a resource is a constant, a marked function, or an expression of what a rule's jobs share."""
    if not resource.is_evaluable():
        return True
    function = resource._evaluator
    if getattr(function, MARK, False):
        return True
    if (
        "from_cli_expression" not in function.__qualname__
        or type(resource.raw) is not str
        or set("$~") & {*resource.raw}
    ):
        return False
    try:
        parsed = ast.walk(ast.parse(resource.raw, mode="eval"))
    except SyntaxError:
        return False
    return all(each.id in SAME_FOR_RULE for each in parsed if isinstance(each, ast.Name))
