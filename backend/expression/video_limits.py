"""Limits on the cost of reading a video. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VideoLimits:
    """Limits on one video; the limit on its length is in ``take_limits``.

    Attributes
    ----------
    max_pixels : largest width x height of a frame; 8K has 33 million. The decoder buffers several frames.
    open_cpu_seconds : processor time until the file is open, and until its first frame. 8K takes 1.
    cpu_seconds, cpu_seconds_per_megapixel : processor time from one frame to the next: a constant, and a part per
        megapixel. Ordinary films take 0.007 s a megapixel, all threads together.
    wall_factor : clock seconds per processor second, for a busy machine or a slow disk.
    most_bytes : memory of the decoding process, where the system enforces it (Linux). 8K takes 1.1 GB.
    """

    max_pixels: int = 40_000_000
    open_cpu_seconds: float = 10.0
    cpu_seconds: float = 3.0
    cpu_seconds_per_megapixel: float = 0.1
    wall_factor: float = 6.0
    most_bytes: int = 2 * 2**30

    def seconds_for(self, pixels: int) -> float:
        """Limit on the processor seconds for a frame with so many pixels."""
        return self.cpu_seconds + self.cpu_seconds_per_megapixel * pixels / 1e6

    @property
    def wall_seconds(self) -> float:
        """Longest wait for the next answer, in seconds."""
        return self.wall_factor * max(self.open_cpu_seconds, self.seconds_for(self.max_pixels))
