"""Cohorts for tests."""

from collections.abc import Mapping
from typing import Any

from nephroscale.cohort.cohort import Cohort
from nephroscale.cohort.tables import load_cohort
from nephroscale.engine.config import load_config


def load_tables(configuration: Mapping[str, Any], check_files: bool = False) -> Cohort:
    """Load the tables that a configuration names."""
    config = load_config(configuration)
    return load_cohort(
        config.data,
        config.task,
        config.folds,
        config.predict,
        stains=config.om.stains,
        panel=config.im.panel,
        check_files=check_files,
    )
