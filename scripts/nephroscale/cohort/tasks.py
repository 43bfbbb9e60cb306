"""Tasks that come with the workflow, so that a configuration names them in one word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nephroscale.cohort.validation_errors import nearest
from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Mapping

PRESETS: dict[str, dict[str, Any]] = {
    # Ehrenreich and Churg's stages of membranous nephropathy. What stage IV means is left to the study, on purpose:
    # few patients have it, and a text that nobody mapped stops the run with its count.
    "mn_stage": {
        "label": "mn_stage",
        "ordinal": True,
        "classes": {"I": "I", "II": "II", "III": "III", "I-II": ["I", "II"], "II-III": ["II", "III"]},
    },
}
"""Name to keys of the section `task`.

References
----------
Ehrenreich T, Churg J. Pathology of membranous nephropathy. Pathology Annual 3, 1968.
"""


def expand_task(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write out a preset of the section `task`: keys that stand beside it win, texts of classes are added.

    Parameters
    ----------
    config
        As the user wrote it; ``task: mn_stage`` is short for ``task: {preset: mn_stage}``.

    Returns
    -------
    Mapping
        The configuration with the section written out; expanding it again changes nothing.

    Raises
    ------
    NephroscaleError
        When there is no such preset.
    """
    task = config.get("task") if hasattr(config, "get") else None
    given: Any = {"preset": task} if isinstance(task, str) else task
    name = given.get("preset") if hasattr(given, "get") else None
    if not isinstance(name, str) or name == "null":
        return config
    if name not in PRESETS:
        raise NephroscaleError(
            f"There is no task {name!r} that comes with the workflow{nearest(name, PRESETS)}",
            where="configuration, task",
            todo=f"Choose one of {', '.join(PRESETS)}, or write the task out: label, classes.",
        )
    preset = PRESETS[name]
    classes = {**preset["classes"], **(given.get("classes") or {})}
    return {**config, "task": {**preset, **given, "classes": classes}}
