"""Training by fold, with checkpoints and resumption."""
