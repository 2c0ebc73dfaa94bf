"""The numbers of reading that were set by hand; what a file may cost is ``source.ReadLimits``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReadingSettings:
    """One number a field; below each its unit, its plausible range and why it is what it is."""

    most_decoders: int = 2
    """Photos, 1 to 4, that are decoded at a time, where there are as many cores: the next stage takes longer than one
    decoder."""
    tick: float = 0.1
    """Seconds, 0.02 to 0.5: how often a cancelled run is noticed."""
    wall_factor: float = 6.0
    """Seconds, 2 to 20, that a decoder may take for each one of the processor's, on a busy machine or a slow disk."""
    alpha_grey: int = 128
    """Level, 0 to 255, of the grey behind transparent pixels: neither a bright nor a dark border to a face."""
    same_profile: int = 3
    """Levels, 1 to 8: a colour profile that changes no colour by more is sRGB by another name."""
    small_pixels: int = 4_000_000
    """Pixels, 1e6 to 1e7: below this a nearly empty file costs nothing and may be opened."""
    band_pixels: int = 4_000_000
    """Pixels, 1e6 to 2e7, that are flattened at a time: the colours of a palette's indices take four times their
    memory."""
    aspect_tolerance: float = 0.01
    """Relative, 0.002 to 0.03: a picture whose aspect differs by more from a camera's, or from the one in EXIF, is
    cropped."""


READING = ReadingSettings()
