"""`predict`: the predictions of the trained ensemble for patients outside the folds.

The artifact of a model and a batch is a folder: `predictions.csv`, a row for each case, with the mean of the calibrated
probabilities of all networks and with warnings; `members.csv`, those of each network; `instances.csv`,
`modalities.csv`, `removed.csv` and the Zarr group `attention` (arrays OM and IM, [patients, tokens, tokens]), what the
networks weighted (docs/dataflow.md lists the columns). It is in the store; the link
``<results>/predict/<model>/<batch>`` leads to it.

A job reads the networks from `train`, their temperatures, the features of the patients, if the model uses the prior the
SVMs from `deposit_priors` and the images from `tem`, and, for warnings and to find copies, receipts of `tiles` and
facts from `register`. With `predict.package`, networks, temperatures and priors are the package's. It calls
`evaluation.predict.predict_patients`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nephroscale.engine.stage import RECEIPT, Need, PlanView, Stage, need
from nephroscale.models.registry import modules_of
from nephroscale.settings import Settings, setting
from nephroscale.slides.duplicates import identity_rows
from nephroscale.stages.external import external_patients, read_opening
from nephroscale.stages.model_inputs import (
    features_by_patient,
    features_of,
    modalities_of,
    negative_slots,
    predicting_models,
    reported_head,
    uses_prior,
)
from nephroscale.stages.patients import diagnosis_patients
from nephroscale.stages.priors import after_without_priors, predicted_priors, prior_modules, prior_of
from nephroscale.stages.units import EXTERNAL, ModelFold, ModelRun, PatientModality, PatientSet
from nephroscale.store.digest import digest_json
from nephroscale.store.test_set_exposure import ScoredTestSet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nephroscale.engine.job import Job
    from nephroscale.engine.plan import Plan
    from nephroscale.evaluation.out_of_range import ImageExtent, Ranges
    from nephroscale.evaluation.predict import Case, Member
    from nephroscale.json_text import JSON
    from nephroscale.slides.facts import ImageFacts


@dataclass(frozen=True)
class PredictionSettings(Settings):
    """Settings of the predictions of an ensemble."""

    patients: str = setting("Set of patients: new or external.")
    classes: tuple[str, ...] = setting("Names of the classes.")
    modalities: tuple[str, ...] = setting("Modalities that the model reads.")
    members: tuple[str, ...] = setting("Units of `train` in the ensemble.")
    prediction: str = setting("Which head is reported.", "softmax")


class Predict(Stage):
    """One job per model and set of patients: external patients, or a batch of new ones.

    The report depends on the external patients, and `new_cases` on the batch. No stage of the ensemble does, so
    predictions change nothing of it.
    """

    name = "predict"
    rule = "predict_patients"
    recalled = False
    pattern = "{model}/{batch}"
    torch = True
    on_device = True

    def units(self, plan: PlanView) -> list[str]:
        """The external patients, with each model of `predict.models` (by default the headline model).

        With `predict.external: locked` there are none before the ledger has an entry for their labels and images, which
        ``nephroscale unlock`` makes.
        """
        locked = plan.config.predict.external == "locked" and read_opening(plan) is None
        return [] if locked else _units(plan, EXTERNAL)

    def new_units(self, plan: PlanView) -> list[str]:
        """The batch of new patients, with each of these models."""
        return _units(plan, plan.batch) if plan.new_patients else []

    def stays(self, unit: str) -> bool:
        """A batch that is no longer configured keeps its receipt and link; the external patients do not."""
        return PatientSet.parse(unit).patients != EXTERNAL

    @need("train")
    def weights(self, plan: PlanView, unit: str) -> list[Need]:
        """The networks of the ensemble: every fold and seed."""
        return [Need("train", member) for member in members_of(plan, PatientSet.parse(unit).model)]

    @need("temperature")
    def temperatures(self, plan: PlanView, unit: str) -> list[Need]:
        """The temperature of each fold."""
        return [Need("temperature", fold) for fold in folds_of(plan, PatientSet.parse(unit).model)]

    @need("features")
    def features(self, plan: PlanView, unit: str) -> list[Need]:
        """The features of the patients to predict. A missing modality is left out, or reported."""
        model, chosen = PatientSet.parse(unit)
        return [each._replace(optional=True) for each in features_of(plan, model, patients_of(plan, chosen))]

    @need("deposit_priors")
    def priors(self, plan: PlanView, unit: str) -> list[Need]:
        """The SVM of each fold that gives the priors of TEM images, where the model uses them."""
        model = PatientSet.parse(unit).model
        found = [prior_of(plan, model, fold) for fold in range(plan.config.folds.n_folds)]
        made = plan.units("deposit_priors")  # a package has those that could be fitted
        return [each for each in found if each and each.unit in made]

    @need("tem")
    def tem(self, plan: PlanView, unit: str) -> list[Need]:
        """The cleaned images of these patients, for their priors."""
        model, chosen = PatientSet.parse(unit)
        patients = patients_of(plan, chosen) if uses_prior(plan, model) else []
        return [Need("tem", patient, optional=True) for patient in patients]

    @need("tiles")
    def tiles(self, plan: PlanView, unit: str) -> list[Need]:
        """What the fluorescence images of these patients were, for warnings."""
        model, chosen = PatientSet.parse(unit)
        images = [i for p in patients_of(plan, chosen) for i in plan.images(p, "IM")]
        read = "IM" in modalities_of(plan, model)
        return [Need("tiles", image.id, part=RECEIPT, optional=True) for image in images if read]

    @need("register")
    def facts(self, plan: PlanView, unit: str) -> list[Need]:
        """The facts of the images of these patients and of the study, for warnings about unusual scales."""
        chosen = PatientSet.parse(unit).patients
        patients = [*patients_of(plan, chosen), *(patient.id for patient in diagnosis_patients(plan))]
        if chosen != EXTERNAL:  # whose images may be none of the study's
            patients += plan.study_units("register")
        return [Need("register", patient, optional=True) for patient in dict.fromkeys(patients)]

    def after_in(self, plan: PlanView) -> tuple[str, ...]:
        """Without `tem.prior: deposits` it does not read `deposit_priors`."""
        return after_without_priors(self, plan)

    def settings(self, plan: PlanView, unit: str) -> PredictionSettings:
        """Whether patients are new or external, classes, the model's modalities and networks, the reported head.

        The name of a batch does not count. What decides a network is in its own recipe.
        """
        model, chosen = PatientSet.parse(unit)
        return PredictionSettings(
            EXTERNAL if chosen == EXTERNAL else "new",  # no recipe depends on the name of a batch
            tuple(plan.cohort.classes),
            tuple(modalities_of(plan, model)),
            tuple(members_of(plan, model)),
            reported_head(plan),
        )

    def rows(self, plan: PlanView, unit: str) -> object:
        """The patients to predict (person, biopsy, labels, images), and what they are compared with.

        `study` are the images of the diagnosis, whose scales give the usual ranges (with a package its `ranges`);
        `negatives` the slots of markers found negative without an image; `images` the patient, person and use of each
        image of the study and of the batch, to find copies. `images` is empty for external patients.
        """
        model, chosen = PatientSet.parse(unit)
        patients: dict[str, JSON] = {}
        for name in patients_of(plan, chosen):
            patient = plan.cohort.patients[name]
            images = plan.images(name, "TEM", "OM", "IM")
            biopsies = sorted({i.biopsy_id for i in images if i.biopsy_id})
            patients[name] = {
                "patient": patient.person or name,
                "biopsy": patient.biopsy or (biopsies[0] if biopsies else ""),
                "label": patient.label,
                "second": patient.second,
                "images": {i.id: i.modality for i in images},
            }
        compared = [*plan.study_units("register"), *plan.new_patients] if chosen != EXTERNAL else []
        rows = {
            "patients": patients,
            "study": {i.id: i.modality for p in diagnosis_patients(plan) for i in plan.cohort.images_of(p.id)},
            "negatives": negative_slots(plan, model, patients),
            "images": identity_rows(plan.cohort, compared),
        }
        return {**rows, "ranges": plan.package.ranges} if plan.package else rows

    def modules(self, plan: PlanView, unit: str) -> tuple[str, ...]:
        """The modules of the network, and those that compute the priors of TEM images."""
        model = PatientSet.parse(unit).model
        return (*modules_of(plan.config.models[model]), *prior_modules(plan, model))

    def test_set_use(self, plan: PlanView, unit: str) -> ScoredTestSet | None:
        """External patients are scored: all configurations whose ensemble did so are counted."""
        model, chosen = PatientSet.parse(unit)
        if chosen != EXTERNAL:
            return None
        uses = [plan.test_set_use("evaluate", member) for member in members_of(plan, model)]
        if None in uses:
            return None
        configurations = sorted({use.configuration for use in uses if use})
        return ScoredTestSet(digest_json(patients_of(plan, EXTERNAL)), digest_json(configurations))

    def make(self, job: Job[PredictionSettings]) -> Mapping[str, object]:
        """Predict the cases by all networks.

        The job fails if a new patient has an image of the study or of another new patient. The artifact is rejected if
        a training or a temperature was. A case that lacks what the networks require has a row without probabilities,
        and the reason in the receipt.
        """
        from nephroscale.evaluation.predict import predict_patients

        settings = job.settings
        check_new_images(job)
        return predict_patients(
            members(job),
            cases(job),
            features_by_patient(job.inputs("features")),
            settings.classes,
            job.out,
            job.device,
            job.rows["negatives"],
            settings.prediction,
            {
                each.unit.removeprefix("fold"): predicted_priors(job, each.path)
                for each in job.inputs("priors")
                if each.path
            },
        )


def members(job: Job[Any]) -> list[Member]:
    """The networks of the ensemble and their temperatures."""
    from nephroscale.evaluation.fitted_temperature import read_temperature
    from nephroscale.evaluation.predict import Member

    temperatures = {each.unit: each.object for each in job.inputs("temperatures")}
    found = []
    for each in job.inputs("weights"):
        run = ModelRun.parse(each.unit)
        found.append(
            Member(
                str(run.fold), run.seed, each.object, read_temperature(temperatures[str(run.model_fold)]).temperature
            )
        )
    return found


def cases(job: Job[PredictionSettings]) -> dict[str, Case]:
    """The patients (or biopsies) to predict: what each lacks, and what is unusual about its images."""
    from nephroscale.evaluation.out_of_range import known_ranges, list_warnings
    from nephroscale.evaluation.predict import Case
    from nephroscale.slides.facts import read_facts

    modalities = job.settings.modalities
    paths = [each.path for each in job.inputs("facts") if each.path]
    facts = {image: found for path in paths for image, found in read_facts(path).items()}
    ranges = job.rows.get("ranges") or known_ranges(extents(job.rows["study"], facts, modalities).values())
    features = {each.unit: each.receipt for each in job.inputs("features")}
    uncalibrated = {
        each.unit for each in job.inputs("tiles") if each.receipt.figures.get("calibration") == "pattern-only"
    }
    found = {}
    for case, row in job.rows["patients"].items():
        receipts = {modality: features[str(PatientModality(case, modality))] for modality in modalities}
        missing = {m: receipt.reason or "no reason given" for m, receipt in receipts.items() if not receipt.accepted}
        images = extents(row["images"], facts, modalities)
        warnings = list_warnings(missing, images, ranges, [image for image in images if image in uncalibrated])
        found[case] = Case(row["patient"], row["biopsy"], row["label"], row["second"], missing, warnings)
    return found


def extents(
    images: Mapping[str, str], facts: Mapping[str, ImageFacts], modalities: Sequence[str]
) -> dict[str, ImageExtent]:
    """Scale and field of the images (by id, with their modality) that a model reads and whose facts are known."""
    from nephroscale.evaluation.out_of_range import ImageExtent

    read = {image: m for image, m in images.items() if image in facts and m in modalities}
    return {image: ImageExtent.from_facts(modality, facts[image]) for image, modality in read.items()}


def study_ranges(plan: Plan, modalities: Sequence[str]) -> Ranges:
    """Ranges of scale and field of the study's images: outside them, a prediction has a warning."""
    from nephroscale.evaluation.out_of_range import known_ranges
    from nephroscale.slides.facts import read_facts

    found: list[ImageExtent] = []
    for patient in diagnosis_patients(plan):
        if path := plan.object_path("register", patient.id):
            images = {image.id: image.modality for image in plan.cohort.images_of(patient.id)}
            found += extents(images, read_facts(path), modalities).values()
    return known_ranges(found)


def check_new_images(job: Job[Any]) -> None:
    """Stop where a new patient has an image of the study, or of another new patient."""
    from nephroscale.slides.duplicates import check_no_copies, find_alike, read_identities

    alike = find_alike(job.rows["images"], read_identities(each.path for each in job.inputs("facts")))
    check_no_copies([pair for pair in alike if "new" in pair.uses])  # the others have stopped the folds


def patients_of(plan: PlanView, chosen: str) -> list[str]:
    """The patients of a set."""
    return external_patients(plan) if chosen == EXTERNAL else plan.new_patients


def members_of(plan: PlanView, model: str) -> list[str]:
    """Units of `train` whose networks make up a model's ensemble: every fold and seed."""
    seeds = plan.config.models[model].training(plan.config.train).seeds
    return [str(ModelRun(model, fold, seed)) for fold in range(plan.config.folds.n_folds) for seed in seeds]


def folds_of(plan: PlanView, model: str) -> list[str]:
    """Units of `temperature` of a model: every fold."""
    return [str(ModelFold(model, fold)) for fold in range(plan.config.folds.n_folds)]


def _units(plan: PlanView, chosen: str) -> list[str]:
    return [str(PatientSet(model, chosen)) for model in predicting_models(plan)] if patients_of(plan, chosen) else []


STAGE = Predict()
