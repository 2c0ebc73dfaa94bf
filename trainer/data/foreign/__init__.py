"""Heads of other people than anything here is trained on, for another renderer to draw."""
