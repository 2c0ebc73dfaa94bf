"""Hand-set constants of reading; the limits per file are in ``source.ReadLimits``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReadingSettings:
    """One constant per field. The text below each gives its unit, plausible range and reason."""

    most_decoders: int = 2
    """Photos, 1 to 4, decoded at a time, up to the number of cores: the next stage is slower than one decoder."""
    tick: float = 0.1
    """Seconds, 0.02 to 0.5: interval at which cancellation is checked."""
    wall_factor: float = 6.0
    """Ratio, 2 to 20: wall-clock time allowed per processor second, for busy machines and slow disks."""
    alpha_grey: int = 128
    """Level, 0 to 255, of the grey behind transparent pixels: avoids a bright or dark border around the face."""
    same_profile: int = 3
    """Levels, 1 to 8: a colour profile that changes all colours by no more is treated as sRGB."""
    small_pixels: int = 4_000_000
    """Pixels, 1e6 to 1e7: files with fewer are cheap to decode, so a high compression is accepted."""
    band_pixels: int = 4_000_000
    """Pixels, 1e6 to 2e7, flattened at a time, because colours take four times the memory of palette indices."""
    aspect_tolerance: float = 0.01
    """Relative, 0.002 to 0.03: an image is cropped if its aspect ratio differs by more from a camera's or EXIF's."""


READING = ReadingSettings()
