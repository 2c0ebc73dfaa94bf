"""Detail (paper 4)."""
