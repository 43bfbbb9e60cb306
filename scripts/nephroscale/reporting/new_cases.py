"""Pages of new patients: a table of their predictions, and a page for each case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nephroscale.html import template_environment
from nephroscale.reporting.case_groups import of_new
from nephroscale.reporting.case_pages import write_groups
from nephroscale.reporting.plots import colour_of
from nephroscale.reporting.report_inputs import CaseInputs

TEMPLATES = Path(__file__).parent / "templates"


def write_new_cases(
    inputs: CaseInputs, predictions: Path, model: str, modalities: Sequence[str], out: Path, *, title: str
) -> dict[str, object]:
    """Write `index.html` and `cases/<case>.html` for the cases of a batch.

    Parameters
    ----------
    inputs
        Pictures, tables and outcomes of the cases.
    predictions
        Object of the stage `predict`.
    model, modalities
        The model whose ensemble predicted them, and what it reads.
    out
        Folder to create.
    title
        Title of the study.

    Returns
    -------
    dict
        `cases` and `not_predicted`: numbers of cases.
    """
    out.mkdir(parents=True)
    group = of_new(predictions, inputs.classes)
    write_groups(out, inputs, [group], model, modalities, title=title)
    page = template_environment(TEMPLATES, value="{:z.3f}".format).get_template("new_cases.html.j2")
    text = page.render(
        title=title,
        model=model,
        group=group,
        classes=list(inputs.classes),
        colours={name: colour_of(number) for number, name in enumerate(inputs.classes)},
    )
    (out / "index.html").write_text(text + "\n", encoding="utf-8")
    return {"cases": len(group.patients), "not_predicted": len(group.not_predicted)}
