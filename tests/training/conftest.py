"""Cohorts that the tests of training share."""

import pytest

from support.stored_features import Cohort


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Feature maps."""
    return Cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="session")
def pixel_cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Pixels."""
    return Cohort(tmp_path_factory.mktemp("pixels"), pixels=True)
