"""LAP (paper 1)."""
