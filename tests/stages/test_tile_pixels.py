"""A study whose tiles keep coordinates only, beside the same study with pixels."""

import pytest

from nephroscale.engine.make_units import make_units
from nephroscale.engine.plan import Plan
from nephroscale.errors import NephroscaleError
from nephroscale.stages.registry import stage_table
from support.small_study import PATIENTS, small_config, write_study

pytestmark = pytest.mark.slow

STAGES = ("register", "reference", "tiles", "segmenter", "segmenter_check", "glomeruli", "features")
#: Detected by the segmenter, outlined by a person, one glomerulus in a whole field; and two to train the segmenter on.
CHOSEN = [*PATIENTS[:4], ("S0", "IgAN", "segmentation"), ("S1", "MN", "segmentation")]


def units(plan, stage):
    """The units of a stage that descend from tiles; one fold of the check is enough."""
    return [unit for unit in plan.units(stage) if not unit.endswith(("TEM", "fold1")) and not unit.startswith("P3-")]


def make_all(keep):
    """Make every unit up to the features, with a store of its own."""
    config = small_config()
    config |= {"results": f"results-{keep}", "store": {"path": f"store-{keep}"}}
    for section in ("om", "im"):
        config[section] = {**config[section], "keep": keep}
    plan = Plan(config, stage_table())
    for name in STAGES:
        for unit in units(plan, name):
            (receipt,) = make_units(plan, plan.stages[name], [unit])
            plan.set_receipt(name, unit, receipt)
            path = plan.receipt_path(name, unit)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(receipt.text())
    return plan


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keep")
    write_study(folder, patients=CHOSEN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEPHROSCALE_CHECK_INPUTS", "1")
        patch.chdir(folder)
        yield make_all("pixels"), make_all("coordinates")


def test_everything_made_from_tiles_is_equal_to_the_byte(plans):
    stored, read = plans
    made = 0
    for name in STAGES[3:]:
        for unit in units(stored, name):
            receipt = stored.receipt(name, unit)
            assert read.receipt(name, unit).text() == receipt.text(), (name, unit)
            made += receipt.accepted
    assert made > 10
    kept, left_out = ({plan.receipt("tiles", unit).digest for unit in units(plan, "tiles")} for plan in plans)
    assert kept.isdisjoint(left_out)


@pytest.mark.parametrize("unit", ["segmenter/cohort", "segmenter_check/fold0", "glomeruli/P0-OM", "glomeruli/P0-IM"])
def test_raw_file_reader_and_tile_table_are_in_the_recipe(plans, unit):
    stage, name = unit.split("/")
    stored, read = (plan.recipe(stage, name) for plan in plans)
    slides = [key.removeprefix("tiles/") for key in read.inputs if key.startswith("tiles/")]
    assert slides
    for slide in slides:
        facts = f"register/{slide.split('-')[0]}#{slide}"
        assert read.inputs[facts] == plans[1].receipt("register", slide.split("-")[0]).parts[slide]
        assert read.inputs[f"tiles/{slide}"] == plans[1].receipt("tiles", slide).digest
    code = set(read.code) - set(stored.code)
    assert "nephroscale/slides/slide_pixels.py" in code
    assert any(path.startswith("nephroscale/slides/readers/") for path in code)
    assert [image.id for image in plans[1].stages[stage].raw(plans[1], name)] == slides


def test_a_missing_or_changed_slide_is_one_clear_message(plans, monkeypatch):
    plan = plans[1]
    path = plan.cohort.images["P2-OM"].path
    content, stage = path.read_bytes(), plan.stages["glomeruli"]
    monkeypatch.setattr(plan, "known", lambda *_: None)
    try:
        path.write_bytes(content[:-1] + b"x")
        with pytest.raises(NephroscaleError, match=r"raw file of P2-OM is no longer the one that was registered"):
            make_units(plan, stage, ["P2-OM"])
        path.unlink()
        with pytest.raises(NephroscaleError, match=r"P2-OM\.tif") as fault:
            make_units(plan, stage, ["P2-OM"])
        assert len(str(fault.value).splitlines()) <= 3
    finally:
        path.write_bytes(content)
