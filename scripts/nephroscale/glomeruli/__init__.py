"""Glomeruli: segmentation, contours and crops."""
