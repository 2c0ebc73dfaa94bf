"""Heads of other makers, drawn by Cycles as photographs: for evaluation and for the demo."""
