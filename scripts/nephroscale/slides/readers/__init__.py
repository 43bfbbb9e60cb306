"""Readers of slide formats: one protocol, one module for each reader, imported lazily by `registry`."""
