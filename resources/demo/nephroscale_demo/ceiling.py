"""The best possible prediction of a cohort's patients, from the draws of the generator.

The images of a patient are drawn independently given the lesion: the pattern of the section, the strengths of the
fluorescence, and the sites, stages and amounts of deposits in the micrographs. So the posterior of the lesions has a
closed form. It takes the values of the draws as seen without error, which no image allows: accuracy and log-loss are
bounds that a network can come near to, but cannot be expected to reach.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import combinations
from math import log
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from nephroscale_demo.draft import Draft
from nephroscale_demo.fluorescence import FieldPlan
from nephroscale_demo.kidney import SlidePlan
from nephroscale_demo.lesions import LESIONS
from nephroscale_demo.tem import MicrographPlan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nephroscale_demo.draft import Plan
    from nephroscale_demo.lesions import Lesion

P = TypeVar("P", SlidePlan, FieldPlan, MicrographPlan)

KINDS: dict[str, type[Plan]] = {"TEM": MicrographPlan, "OM": SlidePlan, "IM": FieldPlan}
SUBSETS = tuple("+".join(names) for count in (1, 2, 3) for names in combinations(KINDS, count))
DRAWS = 200
"""New patients of each lesion over whom accuracy and log-loss are averaged."""


def ceiling_json(draft: Draft) -> str:
    """Give the accuracy and log-loss of the best prediction, and the posterior of each case that can be diagnosed.

    Both are given for all subsets of modalities; `expected` for new patients, `cohort` for the cases themselves.

    Parameters
    ----------
    draft
        A cohort whose labels are diagnoses and whose only marker is IgG.
    """
    prior = Counter(draft.lesions[row.patient_id] for row in draft.patients if row.use == "diagnosis")
    classes = sorted({LESIONS[lesion].diagnosis for lesion in prior})
    cases = {
        name: plans for name, plans in _cases(draft).items() if {type(plan) for plan in plans} == set(KINDS.values())
    }
    diagnoses = {row.patient_id: row.diagnosis for row in draft.patients}
    labels = {name: diagnoses[name.partition("-")[0]] for name in cases}
    new = [(LESIONS[lesion].diagnosis, prior[lesion], plans) for lesion in prior for plans in _draw(draft, lesion)]
    expected, cohort, posteriors = {}, {}, {}
    for subset in SUBSETS:
        kinds = [KINDS[name] for name in subset.split("+")]
        drawn = np.array([posterior(plans, kinds, prior, classes) for _, _, plans in new])
        here = np.array([posterior(plans, kinds, prior, classes) for plans in cases.values()])
        truth = [classes.index(diagnosis) for diagnosis, _, _ in new]
        expected[subset] = _score(drawn, truth, [weight for _, weight, _ in new])
        cohort[subset] = _score(here, [classes.index(labels[name]) for name in cases], [1] * len(cases))
        posteriors[subset] = dict(zip(cases, np.round(here, 4).tolist(), strict=True))
    found = {"classes": classes, "expected": expected, "cohort": cohort, "posterior": posteriors}
    return json.dumps(found, indent=1, sort_keys=True) + "\n"


def posterior(
    plans: Sequence[Plan], kinds: Sequence[type[Plan]], prior: Mapping[str, float], classes: Sequence[str]
) -> np.ndarray:
    """Compute the probability [K] of each class given some of the plans of a patient's images.

    Parameters
    ----------
    plans
        Plans of the patient's images.
    kinds
        Kinds of plans that are seen.
    prior
        Frequency of each lesion.
    classes
        Names of the classes.
    """
    chances = np.zeros(len(classes))
    logs = {lesion: log(count) + _log_likelihood(plans, kinds, LESIONS[lesion]) for lesion, count in prior.items()}
    most = max(logs.values())
    for lesion, value in logs.items():
        chances[classes.index(LESIONS[lesion].diagnosis)] += np.exp(value - most)
    return np.asarray(chances / chances.sum())


def _log_likelihood(plans: Sequence[Plan], kinds: Sequence[type[Plan]], look: Lesion) -> float:
    total = 0.0
    if SlidePlan in kinds:
        total += sum(_certain(agrees=plan.pattern == look.pattern) for plan in _of(plans, SlidePlan))
    if FieldPlan in kinds:
        staining = look.staining["IgG"]
        for plan in _of(plans, FieldPlan):
            total += _certain(agrees=plan.coarse == staining.coarse)
            total += _uniform(plan.mesangial, staining.mesangial) + _uniform(plan.capillary, staining.capillary)
    if MicrographPlan in kinds:
        total += _log_likelihood_of_micrographs(_of(plans, MicrographPlan), look)
    return total


def _log_likelihood_of_micrographs(plans: Sequence[MicrographPlan], look: Lesion) -> float:
    """Sum over the micrographs of one biopsy. Mesangial deposits show only where the mesangium does."""
    stalks = [plan for plan in plans if plan.view == "mesangium"]
    total = _certain(agrees=len(stalks) == round(len(plans) * look.stalk))
    stages = {plan.subepithelial for plan in plans}
    total += _certain(agrees=stages <= set(look.subepithelial) and (look.varied or len(stages) <= 1))
    total -= log(len(look.subepithelial)) * (len(plans) if look.varied else 1)
    total += sum(_uniform(plan.subendothelial, look.subendothelial) for plan in plans)
    total += sum(_uniform(plan.mesangial, look.mesangial) for plan in stalks)
    seen = sum(plan.inclusions for plan in plans)
    if look.inclusions:
        return total + seen * log(0.6) + (len(plans) - seen) * log(0.4)
    return total + _certain(agrees=seen == 0)


def _certain(*, agrees: bool) -> float:
    return 0.0 if agrees else -np.inf


def _uniform(value: float, span: tuple[float, float]) -> float:
    """Logarithm of the density of a uniform draw; a span that ends at 0 gives 0."""
    if span[1] <= 0:
        return _certain(agrees=value == 0)
    inside = value > 0 and span[0] - 5e-4 <= value <= span[1] + 5e-4
    return -log(span[1] - span[0]) if inside else -np.inf


def _of(plans: Sequence[Plan], kind: type[P]) -> list[P]:
    return [plan for plan in plans if isinstance(plan, kind)]


def _cases(draft: Draft) -> dict[str, list[Plan]]:
    """Plans of the readable images of each case to diagnose; each biopsy of several is a case."""
    works = {work.plan.image_id: work for work in draft.works if not work.damage}
    wanted = {row.patient_id for row in draft.patients if row.use == "diagnosis"}
    found: dict[str, list[Plan]] = {}
    for row in draft.images:
        if row.patient_id in wanted and row.image_id in works:
            name = f"{row.patient_id}-{row.biopsy_id}" if row.biopsy_id else row.patient_id
            found.setdefault(name, []).append(works[row.image_id].plan)
    return found


def _draw(draft: Draft, lesion: str) -> list[list[Plan]]:
    """Draw new patients of a lesion as the cohort draws its own."""
    new = Draft(draft.name, draft.seed + 1000, draft.sizes)
    site = next(row for row in draft.patients if row.use == "diagnosis")
    for number in range(DRAWS):
        row = replace(site, patient_id=f"{lesion}.{number}", diagnosis=LESIONS[lesion].diagnosis)
        new.patients.append(row)
        new.slide(row, lesion, f"{row.patient_id}-OM", "")
        new.field(row, lesion, f"{row.patient_id}-IgG", "")
        new.micrographs(row, lesion, 4 + number % 5, "", "")
    return list(_cases(new).values())


def _score(chances: np.ndarray, labels: Sequence[int], weights: Sequence[float]) -> dict[str, float]:
    """Accuracy and log-loss, as means over cases with weights; cases that are tied count in part."""
    own = chances[np.arange(len(labels)), labels]
    best = chances.max(axis=1, keepdims=True)
    hits = (own >= best[:, 0] - 1e-9) / (chances >= best - 1e-9).sum(axis=1)
    share = np.array(weights) / sum(weights)
    return {
        "accuracy": round(float(share @ hits), 4),
        "log_loss": round(float(-share @ np.log(np.maximum(own, 1e-12))), 4),
    }
