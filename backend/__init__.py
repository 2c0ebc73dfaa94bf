"""Likeness backend: a handful of ordinary photographs of one person to a rigged, textured head."""

__version__ = "0.1.0"
