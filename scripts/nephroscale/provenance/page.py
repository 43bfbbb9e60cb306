"""The audit as one HTML page: a summary with tables, then every artifact with its ancestors."""

from __future__ import annotations

import base64
import hashlib
import sys
from pathlib import Path
from urllib.parse import quote

import orjson
from markupsafe import Markup

from nephroscale.html import template_environment
from nephroscale.provenance import sections, tables
from nephroscale.provenance.document_types import AuditDocument
from nephroscale.provenance.page_data import page_data, safe_json
from nephroscale.provenance.status import STATUSES, statuses

TEMPLATES = Path(__file__).parent / "templates"
#: The scripts of the page, in the order of their dependence.
SCRIPTS = ("model.js", "elements.js", "graph.js", "panel.js", "find.js", "main.js")


def render_page(document: AuditDocument) -> str:
    """Render the page of an audit.

    Parameters
    ----------
    document
        The audit (:func:`nephroscale.provenance.document.make_document`).

    Returns
    -------
    str
        HTML that loads nothing from elsewhere; equal documents give equal pages. All data are escaped, and a content
        security policy allows only the page's own script, named by its digest.
    """
    artifacts = document["artifacts"]
    status = statuses(artifacts)
    groups, numbers_of = sections.mismatches(artifacts)
    index, chunks = page_data(document, status, numbers_of)
    counts = sections.counts(document, status)
    figures = sections.numbers(document, status)
    parts = [(TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS]
    script = '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"
    page = {
        "title": document["title"],
        "stages": len({artifact["stage"] for artifact in artifacts}),
        "names": STATUSES,
        "counts": counts,
        "verdict": sections.verdict(counts, figures),
        "figures": figures,
        "mismatches": groups,
        "missing": document["missing"],
        "conflicts": [artifacts[place] for place in document["conflicts"]],
        "exclusions": tables.exclusions(document["excluded"]),
        "runs": tables.runs(document),
        "environments": tables.environments(document),
        "machines": tables.machines(artifacts),
        "costs": tables.costs(artifacts),
        "watts": (tables.CORE_WATTS, tables.GPU_WATTS),
        "elsewhere": tables.elsewhere(document["elsewhere"]),
        "weights": tables.weights(document),
        "looks": document["looks"],
        "most_rows": sections.MOST_ROWS,
        "most_names": sections.MOST_NAMES,
        "index": safe_json(index),
        "chunks": [safe_json(chunk) for chunk in chunks],
        "script": Markup(script),  # noqa: S704  (files of this package)
        "policy": f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
    }
    environment = template_environment(
        TEMPLATES,
        figure=lambda value: "–" if value is None else f"{value:.3f}",
        percent=lambda value: f"{100 * min(max(value, 0), 1):.2f}",
        duration=duration,
        moment=lambda text: str(text).replace("T", " ").replace("Z", " UTC"),
        anchor=lambda name: "#" + quote(str(name), safe="/"),
        find=lambda value, key: f"#find?{key}={quote(str(value), safe='')}",
        short=lambda digest: str(digest)[:12],
    )
    return environment.get_template("audit.html.j2").render(page) + "\n"


def duration(seconds: float | None) -> str:
    """Format a duration in seconds for people: 0.8 s, 42 s, 3 min, 2 h 20 min."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def main(audit: str, page: str) -> None:
    """Write the page of an audit file: ``python -m nephroscale.provenance.page audit.json index.html``."""
    Path(page).write_text(render_page(orjson.loads(Path(audit).read_bytes())), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
