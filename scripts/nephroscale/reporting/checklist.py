"""Checklists for a paper, each item with its evidence in a study; a paragraph of methods; references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from nephroscale.collect import grouped
from nephroscale.evaluation.tables import read_rows
from nephroscale.html import cases_of, template_environment

TEMPLATES = Path(__file__).parent / "templates"
LISTS, REFERENCES = TEMPLATES / "checklists.csv", TEMPLATES / "references.bib"
WRITE = "You must write this."
MISSING = {"exclude": "left out", "mask": "read with a mask"}
"""What `task.missing_modalities` makes of cases without a modality."""


class Evidence(NamedTuple):
    """What a study has on an item: a sentence, and where to look: a file of the results, or a section of the report."""

    text: str
    place: str

    @property
    def link(self) -> str:
        """Where to look, relative to the results folder."""
        return f"report.html{self.place}" if self.place.startswith("#") else self.place


class ChecklistItem(NamedTuple):
    """An item of a checklist; without evidence the authors have to write it."""

    number: str
    item: str
    evidence: Evidence | None


@dataclass(frozen=True)
class Study:
    """What the checklists are filled from.

    Attributes
    ----------
    metrics
        Content of the report's `metrics.json`.
    normalisation
        Method of stain normalisation to the number of slides; a slide may have another than the configured one.
    missing_modalities
        What became of patients without a modality.
    segmenter
        Whether a segmenter was trained.
    version
        Version of nephroscale.
    """

    metrics: Mapping[str, Any]
    normalisation: Mapping[str, int]
    missing_modalities: str
    segmenter: bool
    version: str


def collect_evidence(study: Study) -> dict[str, Evidence]:
    """Collect what the study has: key of `checklists.csv` to the evidence; a key that is absent has none."""
    metrics = study.metrics
    name = metrics["headline"]
    model, cohort, trained = metrics["models"][name], metrics["cohort"], metrics["trained"].get(name)
    found = {
        "flow": Evidence(f"{cohort['patients']} cases, {len(cohort['excluded'])} excluded, by reason", "#cohort"),
        "preprocessing": Evidence(
            f"Stain normalisation: {_name_normalisation(study)}; all settings in the audit", "audit.html"
        ),
        "instances": Evidence("Glomeruli and TEM images of each case", "#slides"),
        "missing": Evidence(f"Cases without a modality are {MISSING[study.missing_modalities]}", "#rejected"),
        "acquisition": Evidence("Vendor, scale and size of each image in the register; write the protocol", "register"),
        "folds": Evidence(f"{cohort['folds']} folds, {cohort['scheme'].replace('_', ' ')}", "#folds"),
        "disjoint": Evidence("Folds are divided by patient; all biopsies of a patient are on one side", "#cohort"),
        "size": Evidence(f"{cohort['patients']} cases; write how the number came about", "#headline"),
        "software": Evidence("Packages and code of every artifact, with digests", "audit.html"),
        "selection": Evidence("The epoch with the least loss on the fold's validation patients", "#training"),
        "ensemble": Evidence("Figures of one network; the ensemble of the seeds is a row of its own", "#headline"),
        "statistics": Evidence(
            "Wilson's and mid-p intervals on an effective number of patients; paired permutation tests", "#reading"
        ),
        "explanation": Evidence("Weights of TEM images; attention, in case pages, beside its deletion test", "#tem"),
        "headline": Evidence(
            f"Balanced accuracy of {name} {_interval(model['pooled']['balanced_accuracy'])}", "#headline"
        ),
        "table_one": Evidence("Table 1 by class and fold", "#cohort"),
        "errors": Evidence("A page per case, errors first", "#classes"),
        "availability": Evidence(f"nephroscale {study.version}; `nephroscale package` writes the model", "audit.html"),
        "audit": Evidence("Every artifact with its code, settings, inputs and digest", "audit.html"),
        "output": Evidence("Class probabilities; the most probable class is predicted", "#classes"),
        "classes": Evidence("Confusion matrix, sensitivity and specificity of each class", "#classes"),
        "rejected": Evidence("Data that could not be used, with reasons", "#rejected"),
        "imbalance": Evidence("Cases by class; balanced accuracy leads", "#cohort"),
        "blinded_test": Evidence("The network reads no label of a test patient", "#reading"),
        "decisions": Evidence("Accuracy when uncertain cases are rejected", "#decisions"),
    }
    standard, subgroups = metrics["reference_standard"], metrics["subgroups"]
    checks = {
        "facts": "what acquisition data alone predict",
        "repeats": "other divisions into folds",
        "left_out_sites": "sites left out",
        "subgroups": "subgroups",
    }
    robust = ", ".join(check for key, check in checks.items() if metrics[key])
    optional = {
        "model": (f"{trained['family']}; {_name_encoders(trained['encoders'])}" if trained else "", "#study"),
        "training": (
            f"Learning rate {trained['learning_rate']:g}, at most {trained['epochs']} epochs" if trained else "",
            "#training",
        ),
        "primary": (
            "Primary endpoint and its contrasts, declared with a date" if metrics["primary"] else "",
            "#headline",
        ),
        "reference": (f"Read by: {standard['read_by']}" if standard["read_by"] else "", "#study"),
        "blinding": (f"Blinded: {standard['blinded']}" if standard["blinded"] else "", "#study"),
        "readers": (
            standard["agreement"] or ("Kappa with and between the readers" if metrics["agreement"] else ""),
            "#study",
        ),
        "external": (
            _describe_external(metrics["external"].get(name))
            or ("External patients, predicted by the ensemble" if metrics["external"] else ""),
            "#external",
        ),
        "subgroups": ("Subgroups: " + ", ".join(subgroups) if subgroups else "", "#subgroups"),
        "sites": (f"{len(subgroups['site'])} sites; write the setting" if "site" in subgroups else "", "#subgroups"),
        "calibration": (
            "Temperature scaling: calibration before and after" if model["calibration"] else "",
            "#calibration",
        ),
        "robustness": (
            robust[:1].upper() + robust[1:],
            "#headline" if metrics["facts"] else "#subgroups" if subgroups else "#models",
        ),
    }
    return found | {name: Evidence(text, place) for name, (text, place) in optional.items() if text}


def _describe_external(found: Mapping[str, Any] | None) -> str:
    if not found:
        return ""
    return (
        f"The ensemble of all folds and seeds predicted {found['patients']} external cases with a balanced accuracy of "
        f"{_interval(found['pooled']['balanced_accuracy'])}"
    )


def _interval(estimate: Mapping[str, float | None]) -> str:
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    if value is None:
        return "not estimable"
    return f"{value:.3f}" + ("" if low is None or high is None else f" (95 % interval {low:.3f} to {high:.3f})")


def fill_checklists(study: Study) -> dict[str, list[ChecklistItem]]:
    """Fill each checklist: name to its items in order."""
    evidence = collect_evidence(study)
    return grouped(
        (row["list"], ChecklistItem(row["number"], row["item"], evidence.get(row["evidence"])))
        for row in read_rows(LISTS)
    )


def write_methods(study: Study) -> str:
    """Write the paragraph of methods with the numbers of the study."""
    metrics, name = study.metrics, study.metrics["headline"]
    model, cohort, trained = metrics["models"][name], metrics["cohort"], metrics["trained"].get(name)
    counts = ", ".join(f"{cohort['classes'][label]} {label}" for label in metrics["classes"])
    reasons = Counter(reason.partition(":")[0] for _, reason in sorted(cohort["excluded"].items()))
    excluded = f" ({', '.join(f'{reason}: {count}' for reason, count in reasons.items())})" if reasons else ""
    seeds = len(model["seeds"])
    analysed = f"{cases_of(model['patients'], model['people'])} ({counts})"
    text = [
        f"We analysed {analysed}. Number of excluded cases: {len(cohort['excluded'])}{excluded}.",
        f"Patients were divided into {cohort['folds']} folds ({cohort['scheme'].replace('_', ' ')}).",
        "All biopsies of a patient were in the same fold.",
    ]
    if study.normalisation:
        text.append(f"Stain normalisation of the slides: {_name_normalisation(study)}.")
    if trained:
        text += [
            f"{name}{_name_family(name, trained['family'])} was trained on features of these encoders:",
            f"{_name_encoders(trained['encoders'])}.",
            *(
                ["Each channel was standardised by its mean and standard deviation on the training side of the fold."]
                if trained["standardised"]
                else []
            ),
            f"Adam with a learning rate from {trained['learning_rate']:g} to {trained['final_learning_rate']:g}",
            "and a weight decay of",
            f"{trained['weight_decay']:g} ran for at most {trained['epochs']} epochs in batches of",
            f"{trained['batch_size']}. The epoch with the least loss on the validation patients of the fold was kept.",
            "In each fold, one network was trained."
            if seeds == 1
            else f"In each fold, {seeds} networks were trained, with different seeds.",
        ]
    text.append(
        "Each patient was predicted by networks that had not seen this patient. Figures are those of one network, with "
        "95 % intervals by Wilson's method on an effective number of patients (mid-p intervals for sensitivity and "
        f"specificity). The balanced accuracy was "
        f"{_interval(model['pooled']['balanced_accuracy'])}, the macro AUC {_interval(model['pooled']['macro_auc'])}."
    )
    if external := _describe_external(metrics["external"].get(name)):
        text.append(f"{external}.")
    if primary := metrics["primary"]:
        text.append(
            f"The primary endpoint, declared on {primary['date']}, was the difference in "
            f"{primary['metric'].replace('_', ' ')} between {name} and {' and '.join(primary['contrasts'])}, on the "
            "same patients, with p-values of a permutation test that were adjusted by Holm's procedure."
        )
    elif metrics["comparisons"]:
        text.append(
            f"Models were compared with {name} on the same patients by permutation tests; no primary endpoint was "
            "declared, and p-values were not adjusted."
        )
    text.append(f"Computations ran in nephroscale {study.version}, a Snakemake workflow.")
    return " ".join(text)


def _name_family(name: str, family: str) -> str:
    return "" if name == family else f" (family {family})"


def _name_normalisation(study: Study) -> str:
    named = (f"{method.capitalize()} ({count} slides)" for method, count in study.normalisation.items())
    return ", ".join(named) or "no slides"


def _name_encoders(encoders: Mapping[str, str]) -> str:
    """Name each encoder once, after the modalities that it encodes."""
    pairs = grouped((encoder, modality) for modality, encoder in encoders.items())
    return "; ".join(f"{', '.join(modalities)}: {encoder}" for encoder, modalities in pairs.items())


def choose_references(study: Study) -> str:
    """Choose the references of what the study used, as BibTeX."""
    trained = list(study.metrics["trained"].values())
    encoders = [encoder for each in trained for encoder in each["encoders"].values()]
    parts = ("primary", "comparisons", "repeats", "facts", "decision", "agreement")
    used = {
        "always",
        *(f"family:{each['family']}" for each in trained),
        *(f"normalisation:{method}" for method in study.normalisation),
        *(["segmenter"] if study.segmenter else []),
        *(["temperature"] if any(found["calibration"] for found in study.metrics["models"].values()) else []),
        *(name for name in parts if study.metrics[name]),
    }
    chosen = []
    for entry in REFERENCES.read_text(encoding="utf-8").split("% ")[1:]:
        condition, _, text = entry.partition("\n")
        kind, _, encoder = condition.partition(":")
        if condition in used or (kind == "encoder" and any(name.startswith(encoder) for name in encoders)):
            chosen.append(text)
    return "".join(chosen)


def write_checklist(study: Study, out: Path, up: str) -> dict[str, int]:
    """Write `index.html`, `checklist.md` and `references.bib`.

    Parameters
    ----------
    study
        The study.
    out
        Folder to create.
    up
        The results folder as seen from `out`, for the links.

    Returns
    -------
    dict
        Checklist to the number of items that the authors have to write.
    """
    lists, methods = fill_checklists(study), write_methods(study)
    out.mkdir(parents=True)
    (out / "references.bib").write_text(choose_references(study), encoding="utf-8")
    lines = ["# Checklists", "", "## Methods", "", methods, ""]
    for name, items in lists.items():
        rows = [f"| {item.number} | {item.item} | {_cell(item, up)} |" for item in items]
        lines += [f"## {name}", "", "| item | | evidence |", "| --- | --- | --- |", *rows, ""]
    (out / "checklist.md").write_text("\n".join(lines), encoding="utf-8")
    page = {"lists": lists, "methods": methods, "up": up, "write": WRITE}
    text = template_environment(TEMPLATES).get_template("checklist.html.j2").render(page)
    (out / "index.html").write_text(text + "\n", encoding="utf-8")
    return {name: sum(item.evidence is None for item in items) for name, items in lists.items()}


def _cell(item: ChecklistItem, up: str) -> str:
    if item.evidence is None:
        return f"**{WRITE}**"
    text = item.evidence.text.replace("|", "\\|")
    return f"[{text}]({up}/{item.evidence.link})"
