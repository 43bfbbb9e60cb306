"""Cohort tables, their validation, the configuration, and the folds."""
