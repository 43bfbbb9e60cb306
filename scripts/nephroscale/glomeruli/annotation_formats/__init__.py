"""Formats of annotations: one dataclass that all give, one module for each format, chosen by content in `registry`."""
