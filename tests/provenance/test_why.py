"""Why units would be made, on a mock study in which everything is made."""

import pytest
import yaml

from nephroscale.commands.audit import print_why
from nephroscale.commands.run import status
from nephroscale.engine.forced import Forced
from nephroscale.engine.prepass import find_out, settle
from nephroscale.errors import NephroscaleError
from nephroscale.provenance.find import find_unit
from nephroscale.provenance.why import changes, why
from nephroscale.store.folder import remove_tree
from nephroscale.store.receipts import Receipt
from support.mock_study import Study

pytestmark = pytest.mark.slow

TRAIN = ("train", "cmusnet/fold0-seed1")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    models = {"cmusnet": {}, "tem-only": {"modalities": ["TEM"]}}
    return Study.make(tmp_path_factory.mktemp("why"), models=models)


@pytest.fixture
def study(made, tmp_path, monkeypatch):
    copy = made.copy_to(tmp_path / "copy")
    monkeypatch.chdir(copy.folder)
    return copy


def edit(study, name, old, new):
    path = study.folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def configure(study, section, **values):
    path = study.folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config[section] |= values
    path.write_text(yaml.safe_dump(config))


def known(study):
    plan = study.plan()
    find_out(plan)
    return plan


def test_nothing_changed(study):
    plan = known(study)
    assert changes(plan) == []
    assert why(plan, *TRAIN).startswith("train of cmusnet/fold0-seed1: nothing to do")


def test_a_label_leads_to_folds_and_to_what_waits_for_them(study):
    edit(study, "patients.csv", "P000002,LN", "P000002,MN")
    plan = known(study)
    (line,) = changes(plan)
    assert line == (
        "label of P000002: MN, was LN: folds, then 4 trainings, 4 temperatures, 4 evaluations, report, audit "
        "(may be cache hits)"
    )
    text = why(plan, *TRAIN)
    assert "waits for folds, which would be made because: label of P000002: MN, was LN" in text
    assert "cache hit" in text
    assert "cache hit" not in why(plan, "folds", "cohort")
    assert changes(plan, {("tiles", "P000002-OM0")}) == []


def test_the_words_are_the_same_after_the_outdated_receipts_are_gone(study):
    edit(study, "patients.csv", "P000002,LN", "P000002,MN")
    plan = study.plan()
    settle(plan)
    for key in (("folds", "cohort"), TRAIN):
        plan.receipt_path(*key).unlink(missing_ok=True)
    assert changes(plan)[0].startswith("label of P000002: MN, was LN: folds, then 4 trainings")


def test_settings_have_the_names_of_the_configuration(study):
    configure(study, "om", mpp=0.7)
    configure(study, "train", epochs=3)
    plan = known(study)
    first, second = changes(plan)
    assert first.startswith("setting om.mpp: 1.0 -> 0.7: 9 tilings, then 9 searches for glomeruli")
    assert second.startswith("setting train.epochs: 60 -> 3: 4 trainings, report, then 4 temperatures")
    assert "  setting train.epochs: 60 -> 3\n  waits for folds" in why(plan, *TRAIN)


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ({"cmusnet": {}}, "model tem-only is no longer in the configuration: report"),
        (
            {"cmusnet": {}, "tem-only": {"modalities": ["TEM"]}, "om-only": {"modalities": ["OM"]}},
            "model om-only is new in the configuration: report",
        ),
        ({"cmusnet": {}, "tem": {"modalities": ["TEM"]}}, "model tem-only is no longer in the configuration: report"),
    ],
)
def test_a_model_that_is_added_or_removed_is_named(study, models, expected):
    path = study.folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(config | {"models": models}))
    assert any(line.startswith(expected) for line in changes(known(study))), changes(known(study))


def test_a_changed_raw_file_is_named_and_what_waits_for_its_registration(study):
    for patient in ("P000001", "P000004"):
        next(study.folder.glob(f"raw/000/{patient}-OM*")).write_bytes(b"changed, and longer than before" * 2)
    plan = known(study)
    assert changes(plan)[0].startswith(
        "raw file of P000001-OM0, P000004-OM0 changed: registration of P000001 and P000004, then 4 tilings"
    )
    assert "waits for register of P000001" in why(plan, "tiles", "P000001-OM0")


@pytest.mark.slow
def test_what_follows_a_rejection_waits_for_it_to_be_made_again(study):
    plan = known(study)
    unit = "P000003-OM0"
    rejected = Receipt("tiles", unit, "rejected", "it is empty")
    follows = Receipt("glomeruli", unit, "rejected", "it is empty", figures={"because": f"tiles/{unit}"})
    for receipt in (rejected, follows):
        path = plan.receipt_path(receipt.stage, unit)
        path.chmod(0o600)
        path.write_bytes(receipt.text().encode())
    for record in study.folder.glob("store/records/**/*.json"):
        if f'"{unit}"' in (text := record.read_text()) and '"glomeruli"' in text:
            record.unlink()
    configure(study, "om", mpp=0.7)
    text = why(known(study), "glomeruli", unit)
    assert "never made" not in text
    assert f"waits for tiles of {unit}, which would be made because: setting om.mpp" in text


def test_what_was_never_made_is_forced_or_lost_is_called_so(study):
    lines = (study.folder / "patients.csv").read_text() + "P000009,MN,north\n"
    (study.folder / "patients.csv").write_text(lines)
    (study.folder / "raw/000/new.tif").write_bytes(b"new")
    with (study.folder / "images.csv").open("a") as table:
        table.write("P000009-TEM,P000009,TEM,,,000/new.tif,8\n")
    remove_tree(study.plan().object_path("tem", "P000003"))
    plan = study.plan()
    plan.forced = Forced.of([("tiles", "P000000-OM0")])
    find_out(plan)
    found = "\n".join(changes(plan))
    assert "never made: registration of P000009" in found
    assert "forced: tiling of P000000-OM0, then search for glomeruli of P000000-OM0" in found
    assert "result of tem of P000003 missing from the store, or damaged: TEM preparation of P000003" in found


def test_another_study_in_the_same_store_is_no_earlier_state_of_a_new_one(study):
    configure(study, "om", mpp=2.0)
    for path in filter(lambda path: path.is_file(), (study.folder / "raw").rglob("*")):
        path.write_bytes(path.read_bytes() + b"another study")
    assert any("changed" in line for line in changes(known(study)))
    edit(study, "config.yaml", "results: results", "results: elsewhere")
    assert [line.partition(":")[0] for line in changes(known(study))] == ["never made"]


def test_lost_artifacts_are_made_again_and_what_was_made_from_them_is_not(study):
    plan = study.plan()
    for key in (("tem", "P000003"), ("features", "P000003-TEM")):
        remove_tree(plan.object_path(*key))
    (line,) = changes(known(study))
    cause, _, jobs = line.partition(": ")
    assert cause == "result of features of P000003-TEM, tem of P000003 missing from the store, or damaged"
    assert jobs == "TEM preparation of P000003, feature extraction of P000003-TEM, then audit (may be cache hits)"


def test_edited_code_is_named_by_its_module(study, monkeypatch):
    plan = study.plan()
    closure = plan.code.closure

    def edited(script, modules=()):
        found = closure(script, modules)
        code = {name: "0" * 64 if name.endswith("tem/tem.py") else value for name, value in found.code.items()}
        return found._replace(code=code)

    monkeypatch.setattr(plan.code, "closure", edited)
    find_out(plan)
    assert "code of stage tem changed (module tem.tem): 9 TEM preparations" in changes(plan)[0]


def test_the_command_takes_a_stage_alone_and_names_units_where_it_finds_none(study, capsys):
    class Options:
        configfile, config, unit = [study.folder / "config.yaml"], None, "folds"

    plan = study.plan()
    assert find_unit(plan, "folds") == find_unit(plan, str(plan.receipt_path("folds", "cohort")))
    assert find_unit(plan, "folds") == ("folds", "cohort")
    with pytest.raises(NephroscaleError, match="such as tiles/P000000-OM0"):
        find_unit(plan, "tiles/P9")
    with pytest.raises(NephroscaleError, match="The stages are register"):
        find_unit(plan, "tile/P9")
    print_why(Options())
    assert capsys.readouterr().out.startswith("folds")


def test_status_with_a_faulty_table_describes_the_results_folder_and_names_the_fault(study, capsys):
    class Options:
        configfile, config = [study.folder / "config.yaml"], None

    edit(study, "patients.csv", "P000002,LN", "P000002,unheard-of")
    with pytest.raises(NephroscaleError, match="unheard-of"):
        status(Options())
    shown = capsys.readouterr().out
    assert "  register         9 made\n" in shown
    assert shown.rstrip().endswith("report/index.html")
