"""Limits on the length of a take from any source. Imports nothing."""

from __future__ import annotations

LONGEST_GAP_SECONDS = 10.0
"""A larger step between two frames' times counts as a broken time stamp."""
MOST_FRAMES = 500_000
"""Frames of a take, from its first to its last: more than two hours at 60 fps, 0.5 GB of memory."""
