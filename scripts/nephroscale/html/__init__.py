"""How the pages of a study are written: one environment of templates, one look."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jinja2

TEMPLATES = Path(__file__).parent / "templates"


def cases_of(cases: int, people: int) -> str:
    """Count the cases of a study in words: patients, of whom some may have several biopsies, each a case."""
    return f"{people} patients" if cases == people else f"{cases} cases of {people} patients"


def template_environment(folder: Path, **filters: Callable[..., object]) -> jinja2.Environment:
    """Make the environment that a page is rendered in.

    Parameters
    ----------
    folder
        Where a page's own templates are; the common ``base.css`` is found beside this module.
    filters
        The page's own filters.

    Returns
    -------
    jinja2.Environment
        It escapes whatever is put in, and refuses names that are not defined.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment
