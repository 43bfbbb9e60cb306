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
    counted = f"{models} in this run and {earlier} earlier" if earlier > 0 else f"{'all ' * (most > 1)}in this run"
    scored = "1 configuration has" if most == 1 else f"{most} configurations have"
    sentence = f"{scored} been scored on {folds} so far, {counted}."
    return [f"{sentence} The more configurations are compared, the more optimistic the result of the best one is."]
