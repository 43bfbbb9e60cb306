"""Comparators of CMUS-Net's fusion: the same bags, encoders and pooling, another way to combine the modalities."""
