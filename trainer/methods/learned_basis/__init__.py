"""The learned face model (paper 3)."""
