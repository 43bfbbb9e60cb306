"""What the configuration and the tables show to be wrong before any job."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from nephroscale.features.weights import digest_weights
from nephroscale.stages.checks import configuration


def one(faults):
    (fault,) = faults
    return str(fault)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"w": np.zeros(2, np.float32)}, path)
    return path


def test_a_right_study_has_no_fault(study):
    plan = study.plan()
    assert not [*configuration.check_model_inputs(plan), *configuration.check_weights(plan, "features", load=True)]
    assert not [*configuration.check_stain_files(plan), *configuration.check_modalities(plan, ())]
    assert not [*configuration.check_folds(plan, ()), *configuration.find_unnamed(plan)]
    assert not [*configuration.find_incomplete(plan, ()), *configuration.find_absent_columns(plan)]


def test_columns_of_subgroups_that_the_table_lacks_or_writes_otherwise_are_named(study):
    study.change("patients", lambda row: row | {"Age": "40", "centre": "north"})
    study.set(report={"subgroups": ["site", "age", "centre", "center"]})
    first, second = map(str, configuration.find_absent_columns(study.plan()))
    assert "The table of patients has no column `age`, but `Age`." in first
    assert "The table of patients has no column `center`.\n  where: configuration, report.subgroups" in second


# -- models against features -------------------------------------------------------------------------------------------


def test_a_model_that_trains_an_encoder_needs_pixels(study):
    study.set(models={"swin": {"encoder": {"name": "small-cnn"}, "modalities": ["TEM", "OM"]}})
    study.config["models"].pop("cmusnet")
    fault = one(configuration.check_model_inputs(study.plan()))
    assert "The model swin trains its own encoder on pixels, but the features of TEM, OM are feature maps." in fault
    assert "Set features.encoders.{TEM, OM}.name: pixels, or remove models.swin.encoder." in fault


@pytest.mark.parametrize("pixels", [["OM"], ["TEM", "OM", "IM"]])
def test_a_model_without_an_encoder_needs_maps(study, pixels):
    study.set(features={"encoders": {modality: {"name": "pixels"} for modality in pixels}})
    fault = one(configuration.check_model_inputs(study.plan()))
    assert f"The model cmusnet needs feature maps, but the features of {', '.join(pixels)} are pixels." in fault


# -- weights -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ({"name": "swin-b"}, "no weights are named"),
        ({"name": "swin-b", "weights": "/no/such.safetensors", "digest": "0" * 64}, "the path does not exist"),
        ({"name": "swin-b", "weights": "w.safetensors"}, "add `digest: DIGEST`"),
        ({"name": "swin-b", "weights": "w.safetensors", "digest": "0" * 64}, "with another digest than"),
        ({"name": "swin-b", "weights": "patients.csv", "digest": "0" * 64}, "is not a readable safetensors file"),
        ({"name": "swin-b", "weights": "raw", "digest": "0" * 64}, "the folder has no model.safetensors"),
        ({"name": "h5"}, "No folder of h5 bags is named."),
        ({"name": "h5", "h5_folder": "nowhere"}, "The folder of h5 bags does not exist."),
    ],
)
def test_weights_of_features_that_cannot_be_loaded(study, weights, encoder, message):
    study.set(features={"encoders": {"OM": encoder}})
    fault = one(configuration.check_weights(study.plan(), "features", load=True))
    assert message.replace("DIGEST", digest_weights(weights)) in fault
    assert "configuration, features.encoders.OM" in fault


def test_weights_of_a_model_that_cannot_be_loaded(study):
    study.set(models={"swin": {"encoder": {"name": "swin-b", "weights": "/no/such/path"}}})
    plan = study.plan()
    fault = one(configuration.check_weights(plan, "train", load=True))
    assert "the path does not exist" in fault
    assert "models.swin.encoder" in fault
    assert not list(configuration.check_weights(plan, "features", load=True))


def test_weights_are_not_needed_where_everything_is_made_but_their_digest_is(study, weights):
    study.set(features={"encoders": {"OM": {"name": "swin-b", "weights": "/moved", "digest": "0" * 64}}})
    assert not list(configuration.check_weights(study.plan(), "features", load=False))
    study.set(features={"encoders": {"OM": {"name": "swin-b", "weights": str(weights)}}})
    assert digest_weights(weights) in one(configuration.check_weights(study.plan(), "features", load=False))


def test_weights_of_a_modality_that_no_model_reads_are_not_needed(study):
    study.set(features={"encoders": {"OM": {"name": "swin-b"}}}, models={"cmusnet": {"modalities": ["TEM"]}})
    assert not list(configuration.check_weights(study.plan(), "features", load=True))


def test_a_missing_file_of_reference_stains(study):
    study.set(om={"reference_file": "absent.json"})
    assert "absent.json does not exist" in one(configuration.check_stain_files(study.plan()))


def test_no_outlined_slide_for_the_segmenter(study):
    study.set(glomeruli={"method": "unet"})
    study.change("patients", lambda row: row if row["use"] != "segmentation" else None)
    study.change("images", lambda row: row if row["patient_id"] != "S0" else None)
    assert "no outlined slide" in one(configuration.check_stain_files(study.plan()))


# -- images of modalities ----------------------------------------------------------------------------------------------


def test_no_stain_of_the_tables_is_named(study):
    study.set(om={"stains": ["PAS", "HE"]})
    fault = one(configuration.check_modalities(study.plan(), ()))
    assert "cmusnet reads OM, but no OM image has a stain of om.stains (PAS, HE); it has PASM 6." in fault
    assert "Name the stains to use in om.stains: [PASM], or leave OM out" in fault


def test_no_marker_of_the_tables_is_named(study):
    study.set(im={"panel": ["IgA"]})
    fault = one(configuration.check_modalities(study.plan(), ()))
    assert "no IM image has a marker of im.panel (IgA); it has IgG 6." in fault


@pytest.mark.parametrize("policy", ["mask", "exclude"])
def test_no_image_of_a_modality(study, policy):
    study.set(task={"missing_modalities": policy})
    study.change("images", lambda row: row if row["modality"] != "IM" else None)
    fault = one(configuration.check_modalities(study.plan(), ()))
    assert "cmusnet reads IM, but no patient to diagnose has an image of this modality." in fault
    assert "models.*.modalities" in fault
    assert "`models: {cmusnet: {modalities: [TEM, OM]}}`" in fault
    assert not [*configuration.check_folds(study.plan(), ()), *configuration.find_incomplete(study.plan(), ())]


def test_no_image_of_a_modality_is_usable(study):
    plan = study.plan()
    unusable = [image.id for image in plan.cohort.images.values() if image.modality == "TEM"]
    assert "no TEM image can be used" in one(configuration.check_modalities(plan, unusable))


def test_bags_made_elsewhere_need_no_image(study):
    study.set(features={"encoders": {"IM": {"name": "h5", "h5_folder": "raw"}}}, task={"missing_modalities": "exclude"})
    study.change("images", lambda row: row if row["modality"] != "IM" else None)
    plan = study.plan()
    assert not [*configuration.check_modalities(plan, ()), *configuration.check_folds(plan, ())]


def test_stains_that_no_key_names(study):
    study.change("images", lambda row: row | ({"stain": "HE"} if row["image_id"] == "P1-OM" else {}))
    study.set(om={"stains": ["PASM"]})
    warning = one(configuration.find_unnamed(study.plan()))
    assert "1 of 7 OM images are not used: om.stains does not name their stain (HE 1)." in warning
    study.set(models={"cmusnet": {"modalities": ["TEM", "IM"]}})
    assert not list(configuration.find_unnamed(study.plan()))


# -- patients and folds ------------------------------------------------------------------------------------------------


def test_patients_without_images(study):
    study.change("images", lambda row: row if row["patient_id"] not in {"P1", "E0"} else None)
    assert "2 patients have no image: E0, P1." in one(configuration.find_incomplete(study.plan(), ()))


def test_patients_who_lack_a_modality_are_left_out(study):
    study.set(task={"missing_modalities": "exclude"})
    warning = one(configuration.find_incomplete(study.plan(), ["P2-IM"]))
    assert "1 patient has no usable IM image, and will be in no fold: P2." in warning
    study.set(task={"missing_modalities": "mask"})
    assert not list(configuration.find_incomplete(study.plan(), ["P2-IM"]))


def test_fewer_cases_of_a_class_than_folds(study):
    study.set(folds={"n_folds": 3}, task={"missing_modalities": "exclude"})
    assert not list(configuration.check_folds(study.plan(), ()))
    fault = one(configuration.check_folds(study.plan(), ["P1-TEM"]))
    assert "A class has fewer cases than there are folds: MN 2 (a group of patients counts as one)." in fault
    assert "1 patients are not counted" in fault
    assert "folds.n_folds: 3" in fault
    assert "Set folds.n_folds to 2, or add patients" in fault


def test_a_group_is_one_case(study):
    study.set(folds={"n_folds": 3})
    study.change("patients", lambda row: row | {"group": "family" if row["patient_id"] in {"P0", "P2"} else ""})
    assert "IgAN 2" in one(configuration.check_folds(study.plan(), ()))


def test_too_few_cases_of_a_class(study):
    study.set(task={"min_per_class": 3, "missing_modalities": "exclude"})
    fault = one(configuration.check_folds(study.plan(), ["P1-TEM"]))
    assert "A class has too few cases: MN 2" in fault
    assert "task.min_per_class: 3" in fault
    assert "fix: Add patients" in fault
