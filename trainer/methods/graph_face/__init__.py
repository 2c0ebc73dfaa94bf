"""The graph face model (paper 2)."""
