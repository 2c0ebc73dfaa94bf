"""The numbers of finding regions of a face that were set by hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RegionsSettings:
    """One number a field; below each its unit, its plausible range and why it is what it is."""

    hand_score: float = 0.8
    """Detector's confidence in [0, 1] that there is a hand: of 220 portraits three show hands, at 0.83 and more; a
    collar was one at 0.72."""
    hand_outside: float = 0.4
    """Share in [0, 1] of a hand's landmarks that lie outside the face: what lies all inside is a misread nose or
    beard."""
    finger_per_palm: float = 0.36
    """Width of a finger in widths of the palm, 0.2 to 0.5."""
    beyond_oval: float = 0.02
    """Heights of the face, 0 to 0.1: hair begins so far outside of the landmarks' oval."""
    near_eyes: float = 0.13
    """Heights of the face, 0.05 to 0.25, around the eyes, where glasses are."""
    normal_reduction: int = 4
    """Factor, 1 to 8, by which the landmark mesh's normals are drawn smaller: they are smooth."""


REGIONS = RegionsSettings()
