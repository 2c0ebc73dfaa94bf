"""Near plane of all rasterizers."""

from __future__ import annotations

MIN_DEPTH = 1e-8
"""Faces with a vertex at or below this camera depth are dropped."""
