"""Reconstruct wrinkles and pores from photos and a fitted face, as displacement maps: one permanent, and one for
each group of shape keys."""
