"""Training by the fold, with checkpoints and resume."""
