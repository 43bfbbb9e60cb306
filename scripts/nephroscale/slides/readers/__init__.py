"""Readers of slide formats: one protocol, one module each, named lazily in `registry`."""
