"""Adoption after an upgrade, in a mock study whose stage `tem` is replaced by a line of code."""

import pytest

from nephroscale.cli import main
from nephroscale.engine import plan as module
from nephroscale.stages.tem import Tem

pytestmark = pytest.mark.slow

COMMAND = ("adopt", "tem", "--configfile", "config.yaml")


@pytest.fixture
def upgraded(study, monkeypatch):
    """Another version of a package; `upgraded(text)` sets what the stage writes now."""
    plan = study()
    for image in plan.cohort.images.values():  # a copied file is another one for the cache
        plan.raw_cache.digest(image.path)
    monkeypatch.setattr(module, "package_versions", lambda names: {"package": "2"})

    def writes(text="tem {}", figures=1):
        def make(stage, job):
            job.out.write_text(text.format(job.unit))
            return {"n": figures}

        monkeypatch.setattr(Tem, "make", make)
        return study

    return writes


def known(plan):
    return [unit for unit in plan.units("tem") if plan.look_up(plan.stages["tem"], unit)]


def test_equal_bytes_are_adopted_by_a_sample_and_recorded_as_adopted(upgraded, capsys):
    study = upgraded()
    plan = study()
    receipts = [plan.receipt("tem", unit) for unit in plan.units("tem")]
    assert not known(plan)
    assert main([*COMMAND, "--sample", "2"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("recomputed, equal") == 2
    assert "9 units of tem adopted, of which 2 were recomputed." in printed
    plan = study()
    assert [plan.look_up(plan.stages["tem"], unit) for unit in plan.units("tem")] == receipts
    made = plan.records.read(plan.recipe_digest("tem", "P000003")).made
    assert (made["started"], made["adopted"]["replayed"], made["adopted"]["of"]) == ("2026-01-01T00:00:00Z", 2, 9)
    assert plan.records.read(made["adopted"]["recipe"]).receipt == plan.receipt("tem", "P000003")
    assert main(COMMAND) == 0
    assert "Nothing of tem to adopt" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "figures"), [("other {}", 1), ("tem {}", 2)])
def test_nothing_is_adopted_where_bytes_or_figures_differ(upgraded, capsys, text, figures):
    study = upgraded(text, figures)
    assert main(COMMAND) == 1
    printed = capsys.readouterr().out
    assert "recomputed, different" in printed
    assert "Nothing was adopted: the next run makes all 9 units of tem again." in printed
    assert not known(study())


def test_a_changed_setting_is_no_upgrade(upgraded, capsys):
    upgraded()
    assert main([*COMMAND, "--config", "tem={size_px: 128}"]) == 0
    assert "Nothing of tem to adopt" in capsys.readouterr().out


def test_an_unknown_stage_is_an_error(upgraded, capsys):
    upgraded()
    assert main(["adopt", "bags", "--configfile", "config.yaml"]) == 1
    assert "There is no stage 'bags'" in capsys.readouterr().err
