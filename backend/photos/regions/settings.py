"""Hand-set constants of face region masks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RegionsSettings:
    """One constant per field. The text below each gives its unit, plausible range and reason."""

    hand_score: float = 0.8
    """Detector confidence in [0, 1] of a hand: of 220 portraits three show hands, at 0.83 and more; a collar was
    detected as one at 0.72."""
    hand_outside: float = 0.4
    """Share in [0, 1] of a hand's landmarks that must lie outside the face; a hand entirely inside is a misread nose or
    beard."""
    finger_per_palm: float = 0.36
    """Width of a finger in palm widths, 0.2 to 0.5."""
    beyond_oval: float = 0.02
    """Face heights, 0 to 0.1: distance outside the landmarks' oval where hair begins."""
    near_eyes: float = 0.13
    """Face heights, 0.05 to 0.25: margin around the eyes that glasses cover."""
    normal_reduction: int = 4
    """Factor, 1 to 8, by which the map of normals is downsampled: normals are smooth."""


REGIONS = RegionsSettings()
