"""How long a take may be, whatever it was filmed with. Imports nothing."""

from __future__ import annotations

LONGEST_GAP_SECONDS = 10.0
"""A larger step between two frames' times is taken for a broken time stamp."""
MOST_FRAMES = 500_000
"""Frames of a take, between its first and its last: more than two hours at 60 a second. They are 0.5 GB of memory."""
