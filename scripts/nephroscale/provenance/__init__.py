"""Auditing: where every artifact came from, and whether it is still what it was."""
