"""The content-addressed store: digests, objects, receipts, recipes and records."""
