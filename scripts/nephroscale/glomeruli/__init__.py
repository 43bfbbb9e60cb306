"""Finding glomeruli: segmentation, contours and crops."""
