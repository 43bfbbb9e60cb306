"""The figures of a finished demo run: those in the documents, and how far those of another run may be from them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nephroscale.errors import NephroscaleError
from nephroscale_demo.measures import SUBSETS, Claim, measure, segmentation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FIGURES = Path(__file__).resolve().parents[1] / "figures.json"
"""The figures in the documents."""
BOUNDS = {"balanced accuracy": 0.10, "log-loss": 0.15, "Dice": 0.02, "object F1": 0.02}
"""By how much a run may differ from the documents. The same code gives the same figures. After a change of the code,
a mean over three seeds moves by about 0.04 (standard deviation): a seed's balanced accuracy by 0.05 to 0.08."""


@dataclass(frozen=True)
class ModelFigures:
    """Out-of-fold figures of a model: means over its seeds, the 95 % interval, and each seed's balanced accuracy.

    In figures that were documented before they were collected by a program, what was not noted is None or empty.
    """

    balanced_accuracy: float
    low: float | None
    high: float | None
    seeds: list[float]
    log_loss: float | None


@dataclass(frozen=True)
class FactsFigures:
    """Balanced accuracy of facts without any image, and its p-value by permutation."""

    balanced_accuracy: float
    p: float


@dataclass(frozen=True)
class RunFigures:
    """Figures of a run.

    Attributes
    ----------
    models
        Name to figures.
    dice, f1
        Of glomeruli on slides that were not trained on.
    facts
        `acquisition` and `readings`, where the report has them.
    permuted, permutations
        Mean balanced accuracy of CMUS-Net over permutations of the labels, and their number; None without any.
    permutation_p
        (b + 1) / (m + 1), where b of the m permutations reach its balanced accuracy.
    """

    models: Mapping[str, ModelFigures]
    dice: float
    f1: float
    facts: Mapping[str, FactsFigures] = field(default_factory=dict)
    permuted: float | None = None
    permutations: int = 0
    permutation_p: float | None = None

    def to_json(self) -> str:
        """Write as JSON, values to four digits."""
        return json.dumps(_rounded(asdict(self)), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> RunFigures:
        """Read what `to_json` has written."""
        found = json.loads(text)
        found["models"] = {name: ModelFigures(**values) for name, values in found["models"].items()}
        found["facts"] = {name: FactsFigures(**values) for name, values in found["facts"].items()}
        return cls(**found)


def collect(results: Path, truth: Path, permuted: Sequence[Path] = ()) -> RunFigures:
    """Collect the figures of a finished run.

    Parameters
    ----------
    results
        Folder of its results, with a report.
    truth
        Folder of the cohort's truth.
    permuted
        Folders of the results of runs with permuted labels.

    Raises
    ------
    NephroscaleError
        Where the report or predictions are missing.
    """
    path = results / "report/metrics.json"
    if not path.is_file():
        raise NephroscaleError("There is no report to read.", where=str(path), fix="Run `make demo` first.")
    report = json.loads(path.read_text(encoding="utf-8"))
    models = {}
    for name in SUBSETS:
        found, pooled = measure(results, name), report["models"][name]["pooled"]["balanced_accuracy"]
        seeds = report["models"][name]["networks"]["balanced_accuracy"]
        models[name] = ModelFigures(found.balanced_accuracy, pooled["low"], pooled["high"], seeds, found.log_loss)
    facts = {
        name: FactsFigures(values["pooled"]["balanced_accuracy"]["value"], values["p"])
        for name, values in report["facts"].items()
    }
    dice, f1 = segmentation(results, truth)
    random = [measure(folder, "cmusnet").balanced_accuracy for folder in permuted]
    if not random:
        return RunFigures(models, dice, f1, facts)
    reached = sum(value >= models["cmusnet"].balanced_accuracy - 1e-9 for value in random)
    p = (reached + 1) / (len(random) + 1)
    return RunFigures(models, dice, f1, facts, float(np.mean(random)), len(random), p)


def compare(documented: RunFigures, run: RunFigures) -> list[Claim]:
    """Claim that the figures in the documents are those of a run, within `BOUNDS`."""
    pairs = [("Dice", "Dice", documented.dice, run.dice), ("object F1", "object F1", documented.f1, run.f1)]
    for name, model in documented.models.items():
        other = run.models[name]
        pairs.append(
            ("balanced accuracy", f"balanced accuracy of {name}", model.balanced_accuracy, other.balanced_accuracy)
        )
        if model.log_loss is not None and other.log_loss is not None:
            pairs.append(("log-loss", f"log-loss of {name}", model.log_loss, other.log_loss))
    if documented.permuted is not None and run.permuted is not None:
        pairs.append(("balanced accuracy", "balanced accuracy with permuted labels", documented.permuted, run.permuted))
    return [
        Claim(f"docs/demo.md has another {what} by", abs(here - there), BOUNDS[kind], at_least=False)
        for kind, what, here, there in pairs
    ]


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(entry) for entry in value]
    return round(value, 9) if isinstance(value, float) else value
