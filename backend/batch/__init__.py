"""Batches: a manifest in, one head per person out, in one process or on Ray (docs/farm.md)."""
