"""Many people: a manifest in, one head a person out, on one process or on Ray (docs/farm.md)."""
