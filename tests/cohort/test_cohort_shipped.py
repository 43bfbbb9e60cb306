import pytest
import yaml

from nephroscale.cohort.config import load_config
from nephroscale.cohort.tables import load_cohort


@pytest.mark.parametrize("name", ["config", "tiny", "demo_panel"])
def test_every_shipped_configuration_reads_its_tables(name, root, monkeypatch):
    monkeypatch.chdir(root)
    config = load_config(yaml.safe_load((root / f"config/{name}.yaml").read_text()))
    assert load_cohort(config, check_files=False).patients
