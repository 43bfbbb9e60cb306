"""What of a file of reference stains decides the tiles."""

import shutil

import pytest

from nephroscale.engine.plan import Plan
from nephroscale.stages.registry import stage_table
from support.small_study import small_config, write_study

pytestmark = pytest.mark.slow


def test_a_file_of_reference_stains_counts_by_its_content_not_by_its_path(root, tmp_path, monkeypatch):
    write_study(tmp_path)
    monkeypatch.chdir(tmp_path)

    def counted(file, unit="P0-OM"):
        config = small_config()
        config["om"] = {**config.get("om", {}), "reference_file": str(file), "normalisation": "macenko"}
        plan = Plan(config, stage_table())
        stage = plan.stages["tiles"]
        return stage.settings(plan, unit).to_mapping(), stage.files(plan, unit)

    here = root / "resources/stain/he.json"
    elsewhere = tmp_path / "other.json"
    shutil.copyfile(here, elsewhere)
    assert counted(here) == counted(elsewhere)
    elsewhere.write_text(elsewhere.read_text() + " ")
    assert counted(here)[1] != counted(elsewhere)[1]
    assert counted(elsewhere, "P0-IM")[1] == {}
