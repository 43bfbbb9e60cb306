"""Checks before the first job: what the tables, the configuration, the files' headers and the machine show."""
