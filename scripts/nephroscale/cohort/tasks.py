"""The task: the classes of its labels, and the presets that a configuration names in one word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nephroscale.cohort.validation_errors import nearest
from nephroscale.errors import NephroscaleError

LEFT_OUT = ("exclude", "ambiguous")
"""Meanings of a label text other than a class."""

RESERVED_COLUMNS = ("patient_id", "use", "reason", "group")
"""Columns of patients.csv that cannot be the label."""

PRESETS: dict[str, dict[str, Any]] = {
    # Ehrenreich and Churg's stages of membranous nephropathy. The study has to give the meaning of stage IV itself: few
    # patients have it, and a text without a meaning stops the run with its count.
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


def class_names(classes: Mapping[str, object]) -> tuple[str, ...]:
    """Name the classes of a task, in the order of their first mention.

    Parameters
    ----------
    classes
        ``task.classes``: label texts and their meanings.
    """
    return tuple(dict.fromkeys(each for each in classes.values() if isinstance(each, str) and each not in LEFT_OUT))


def expand_task(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write out a preset of the section `task`. Keys given beside it take precedence; texts of classes are added.

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
    task = config.get("task")
    given: Any = {"preset": task} if isinstance(task, str) else task
    name = given.get("preset") if isinstance(given, Mapping) else None
    if not isinstance(name, str) or name == "null":
        return config
    if name not in PRESETS:
        raise NephroscaleError(
            f"There is no task {name!r} that comes with the workflow{nearest(name, PRESETS)}",
            where="configuration, task",
            fix=f"Choose one of {', '.join(PRESETS)}, or write the task out: label, classes.",
        )
    preset = PRESETS[name]
    return {**config, "task": {**preset, **given, "classes": {**preset["classes"], **(given.get("classes") or {})}}}
