"""Batches: a manifest in, one head per person out, on this machine's cores or on Ray (docs/farm.md)."""
