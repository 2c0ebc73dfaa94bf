"""Preferences and scene properties."""
