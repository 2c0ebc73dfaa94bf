"""Heads of other makers, ray-traced as photographs: for evaluation and for the demo."""
