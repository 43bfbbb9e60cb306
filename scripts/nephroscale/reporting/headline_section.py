"""Further metrics of the headline model: facts alone, subgroups, confidence, decisions and agreement with readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from nephroscale.cohort.fold_table import FoldTable
from nephroscale.evaluation.agreement import disagreement_weights, estimate_kappa
from nephroscale.evaluation.decisions import estimate_confident, estimate_net_benefit, signed_shares
from nephroscale.evaluation.networks import Networks
from nephroscale.evaluation.shortcuts import predict_from_facts
from nephroscale.reporting.estimates import estimate_metrics
from nephroscale.reporting.facts_of_cases import collect_acquisition, collect_readings
from nephroscale.reporting.metric_values import Estimate, rounded
from nephroscale.reporting.report_inputs import ReportInputs
from nephroscale.reporting.results import ModelResults, Stacked
from nephroscale.reporting.settings import ReportSettings
from nephroscale.reporting.study_values import (
    Agreement,
    ConfidentShare,
    DecisionCurve,
    DecisionPoint,
    FactsAlone,
    HeadlineMetrics,
)
from nephroscale.reporting.subgroups import collect_traits, summarise_subgroups

COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)


def summarise_headline(
    results: ModelResults, inputs: ReportInputs, settings: ReportSettings, folds: FoldTable, seed: int
) -> HeadlineMetrics:
    """Compute the further metrics of the headline model.

    Parameters
    ----------
    results
        Its results.
    inputs
        Inputs of the report.
    settings
        Action, prevalences, subgroups and number of permutations.
    folds
        The folds of the models.
    seed
        Seed of the permutations.
    """
    people = folds.people
    stacked = results.stack(people)
    facts = _summarise_facts(inputs, folds, settings.permutations, seed)
    if stacked is None:
        return HeadlineMetrics(facts, agreement=_summarise_agreement(None, inputs, results.name, people))
    traits = collect_traits(inputs, stacked.cases)
    return HeadlineMetrics(
        facts=facts,
        subgroups=summarise_subgroups(stacked, traits, inputs.classes, settings.smallest_subgroup),
        confident=[
            ConfidentShare(share, Estimate.of(estimate_confident(stacked.networks, share).interval))
            for share in COVERAGES
        ],
        decision=_summarise_decision(results, inputs.classes, settings, people),
        agreement=_summarise_agreement(stacked, inputs, results.name, people),
    )


def _summarise_facts(inputs: ReportInputs, folds: FoldTable, permutations: int, seed: int) -> dict[str, FactsAlone]:
    """Predict the classes from facts of acquisition, and from readings, on the folds of the models."""
    return {
        name: FactsAlone(
            outcome.facts,
            len(outcome.networks.strata),
            estimate_metrics(outcome.networks),
            rounded(outcome.p),
            permutations,
            rounded(outcome.detectable),
        )
        for name, collect in (("acquisition", collect_acquisition), ("readings", collect_readings))
        if (outcome := predict_from_facts(collect(inputs, folds.labels), folds, permutations, seed))
    }


def _summarise_decision(
    results: ModelResults, classes: Sequence[str], settings: ReportSettings, people: Mapping[str, str]
) -> DecisionCurve | None:
    """Compute the decision curve of the ensemble of the seeds, after temperature scaling where there is one."""
    action, found = settings.action, results.calibrated or results.pooled
    if action.name is None or found is None:
        return None
    found = found.certain
    networks = Networks.of(found.labels, found.probabilities, [people.get(case, case) for case in found.patients])
    networks = replace(networks, out_of_fold=True)
    stated = settings.prevalences
    counts = np.bincount(found.labels, minlength=len(classes)) / len(found.labels)
    shares = [stated[name] for name in classes] if stated else counts.tolist()
    positive = [classes.index(name) for name in action.classes]
    return DecisionCurve(
        action.name,
        list(action.classes),
        rounded(sum(shares[c] for c in positive)),
        bool(stated),
        [
            DecisionPoint(
                threshold,
                Estimate.of(estimate_net_benefit(networks, positive, threshold, shares).interval),
                rounded(float(signed_shares(positive, threshold, shares).sum())),
            )
            for threshold in sorted(action.thresholds)
        ],
    )


def _summarise_agreement(
    stacked: Stacked | None, inputs: ReportInputs, model: str, people: Mapping[str, str]
) -> list[Agreement]:
    """Compute kappa between each reader and single networks, and between each two readers."""
    classes, found = list(inputs.classes), []
    weights = disagreement_weights(len(classes), ordered=inputs.ordinal)
    for name, readings in inputs.readings.items() if stacked else ():
        assert stacked
        both = [case for case in stacked.cases if case in readings]
        cases = [case for case in both if readings[case]]
        chosen = stacked.of(cases)
        labels = np.array([classes.index(str(readings[case])) for case in chosen.cases], np.int64)
        found.append(_agreement(name, model, len(both), replace(chosen.networks, labels=labels), weights))
    for (one, first), (other, second) in combinations(inputs.readings.items(), 2):
        both = sorted(first.keys() & second.keys())
        cases = [case for case in both if first[case] and second[case]]
        labels, guessed = (
            np.array([classes.index(str(readings[case])) for case in cases], np.int64) for readings in (first, second)
        )
        whose = np.unique([people.get(case, case) for case in cases], return_inverse=True)[1]
        sure = np.eye(len(classes))[guessed][None]
        found.append(_agreement(one, other, len(both), Networks(labels, sure, whose, np.zeros_like(whose)), weights))
    return found


def _agreement(first: str, second: str, both: int, raters: Networks, weights: np.ndarray) -> Agreement:
    cases = len(raters.labels)
    kappa = Estimate.of(estimate_kappa(raters, weights).interval) if cases else Estimate()
    return Agreement(first, second, cases, both - cases, kappa)
