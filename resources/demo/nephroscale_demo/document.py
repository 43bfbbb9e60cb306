"""Write the figures and pictures of a finished demo run into the documents."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from nephroscale.errors import NephroscaleError
from nephroscale_demo.figures import FIGURES, RunFigures, collect
from nephroscale_demo.measures import SUBSETS, read_ceilings

if TYPE_CHECKING:
    from nephroscale_demo.measures import Ceilings

ROOT = Path(__file__).resolve().parents[3]
BEGIN, END = "<!-- figures of a run: make demo-docs writes them -->", "<!-- end of the figures -->"
PICTURES = {"report/index.html": ("report.png", (1000, 1060)), "audit/index.html": ("audit.png", (900, 1010))}
"""Page in the results to the picture in docs/img and its width and height, pixels."""
NAMES = {"OM": "OM", "IM": "IM", "TEM": "TEM", "TEM+OM": "OM, TEM", "TEM+IM": "IM, TEM", "OM+IM": "OM, IM"}
NAMES |= {"TEM+OM+IM": "all three"}
"""Subset of modalities, as ceiling.json names it, to its name in the table; in the order of the table."""
FACTS = {"acquisition": "Acquisition data alone", "readings": "Grades and negative markers alone"}


def render(figures: RunFigures, ceilings: Ceilings) -> str:
    """Write the figures of a run as Markdown.

    Parameters
    ----------
    figures
        Figures of the run.
    ceilings
        Content of truth/ceiling.json.
    """
    columns = ["modalities", "ceiling, new patients", "log-loss", "ceiling, own cases", "log-loss"]
    columns += ["network", "balanced accuracy", "regret", "log-loss"]
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    for subset, name in NAMES.items():
        new, own = ceilings["expected"][subset], ceilings["cohort"][subset]
        bounds = f"| {name} | {new['accuracy']:.3f} | {new['log_loss']:.3f} |"
        bounds += f" {own['accuracy']:.3f} | {own['log_loss']:.3f} |"
        for model in [model for model, seen in SUBSETS.items() if seen == subset] or [""]:
            if not model:
                lines.append(f"{bounds} | | | |")
                continue
            one = figures.models[model]
            interval = "" if one.low is None or one.high is None else f" ({one.low:.3f}–{one.high:.3f})"
            regret = own["accuracy"] - one.balanced_accuracy
            loss = "" if one.log_loss is None else f"{one.log_loss:.3f}"
            lines.append(f"{bounds} `{model}` | {one.balanced_accuracy:.3f}{interval} | {regret:.3f} | {loss} |")
    seeds = "; ".join(
        f"`{name}` {', '.join(f'{value:.3f}' for value in figures.models[name].seeds)}"
        for name in SUBSETS
        if name in figures.models and figures.models[name].seeds
    )
    text = [f"Balanced accuracy of each seed: {seeds}."]
    text += [
        f"{words} reach {figures.facts[name].balanced_accuracy:.3f} (p = {figures.facts[name].p:.2g})."
        for name, words in FACTS.items()
        if name in figures.facts
    ]
    if figures.permuted is not None:
        what = f"over {figures.permutations} permutations of the labels"
        p = "" if figures.permutation_p is None else f" (p = {figures.permutation_p:.2g})"
        text.append(f"The mean of CMUS-Net {what} is {figures.permuted:.3f}{p}.")
    text.append(f"Glomeruli are detected with a Dice of {figures.dice:.3f} and an object F1 of {figures.f1:.3f}.")
    return "\n".join(lines) + "\n\n" + "\n".join(text) + "\n"


def insert(text: str, block: str) -> str:
    """Replace what stands between the two marks of a document.

    Raises
    ------
    NephroscaleError
        Where the document does not have each mark once, in order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after:
        raise NephroscaleError(
            "The document does not have the two marks of the figures once each.",
            where="docs/demo.md",
            fix=f"Put the lines {BEGIN!r} and {END!r} where the figures belong.",
        )
    return f"{before}{BEGIN}\n\n{block}\n{END}{after}"


def photograph(page: Path, picture: Path, size: tuple[int, int]) -> None:
    """Save the top of a page as a PNG of at most 256 colours.

    Raises
    ------
    NephroscaleError
        Where the page is missing, or no Chromium is installed or it makes no picture.
    """
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None or not page.is_file():
        raise NephroscaleError(
            "The page is missing." if program else "There is no Chromium to make pictures with.",
            where=str(page),
            fix="Run `make demo` first." if program else "On Debian and Ubuntu: `sudo apt install chromium`.",
        )
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        command = [program, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile"]
        command += ["--hide-scrollbars", f"--window-size={size[0]},{size[1]}", f"--screenshot={shot}"]
        done = subprocess.run(  # noqa: S603  (the browser found above, on a page of ours)
            [*command, page.resolve().as_uri()], capture_output=True, text=True, timeout=120, check=False
        )
        pixels = cv2.imread(str(shot)) if shot.is_file() else None
    if pixels is None:
        raise NephroscaleError(
            "Chromium made no picture.", where=str(page), fix=f"It said: {done.stderr.strip()[-300:] or 'nothing'}"
        )
    cv2.imwrite(str(picture), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def main() -> int:
    """Write docs/demo.md, its figures as JSON, and the pictures of docs and README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results/demo"))
    parser.add_argument("--truth", type=Path, default=Path("demo/demo/truth"))
    parser.add_argument("--permuted", type=Path, nargs="*", default=[], help="results of runs with task.permute_labels")
    options = parser.parse_args()
    page = ROOT / "docs/demo.md"
    try:
        figures = collect(options.results, options.truth, options.permuted)
        block = render(figures, read_ceilings(options.truth))
        page.write_text(insert(page.read_text(encoding="utf-8"), block), encoding="utf-8")
        FIGURES.write_text(figures.to_json(), encoding="utf-8")
        for source, (name, size) in PICTURES.items():
            photograph(options.results / source, ROOT / "docs/img" / name, size)
    except NephroscaleError as fault:
        print(f"nephroscale: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
