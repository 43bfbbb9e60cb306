"""Provenance: how every artifact was made, and whether it matches the present code, configuration and data."""
