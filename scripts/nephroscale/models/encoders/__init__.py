"""Encoders that are trained together with a network, over bags of pixels."""
