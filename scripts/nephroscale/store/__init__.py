"""Digests, the store of objects, receipts, recipes and records: what makes every artifact content-addressed."""
