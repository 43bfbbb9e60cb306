"""How often the test folds were used."""

from __future__ import annotations

from collections.abc import Mapping


def describe_test_set_use(uses: Mapping[str, int], models: int) -> list[str]:
    """State how many configurations were scored on the test folds; empty where nothing is recorded.

    Parameters
    ----------
    uses
        Fold to the number of configurations ever scored on its test patients, including those of this run.
    models
        Number of models of this run.
    """
    if not uses:
        return []
    most = max(uses.values())
    folds = "the test folds" if len(set(uses.values())) == 1 else "the test fold used most often"
    earlier = most - models
    counted = f"{models} in this run and {earlier} earlier" if earlier > 0 else "all in this run"
    scored = "1 configuration has" if most == 1 else f"{most} configurations have"
    scored += f" been scored so far, {counted if most > 1 else 'in this run'}"
    sentence = f"{ordinal(most)} use of {folds}: {scored}."
    return [f"{sentence} The more configurations are compared, the more optimistic the result of the best one is."]


def ordinal(number: int) -> str:
    """Write a number as 1st, 2nd, 3rd, 4th, 11th, 21st."""
    ending = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
