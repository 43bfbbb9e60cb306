"""Encoders and the feature bags that they fill."""
