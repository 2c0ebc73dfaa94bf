"""The supported photo formats in sentences.

Hand-set constants of reading; the limits per file are in ``ReadLimits``.

Types of photo input, reading limits and decoded photos. Imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.photo_folder import FORMAT_SUFFIXES

_SPOKEN = {"MPO": "JPEG", "WEBP": "WebP", "HEIF": "HEIC"}
"""Common name of a format where Pillow's differs; an MPO is a JPEG with a second image."""
_NAMES = tuple(dict.fromkeys(_SPOKEN.get(name, name) for name in FORMAT_SUFFIXES))
FORMATS_TEXT = f"{', '.join(_NAMES[:-1])} or {_NAMES[-1]}"
"""The formats in a sentence: ``JPEG, PNG ... or GIF``."""
FORMATS_ADVICE = f"Give {FORMATS_TEXT} files."
"""Advice when no photo could be read."""


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
    most_pages: int = 16
    """Pages, 4 to 64, of a TIFF file of which the largest is read."""
    least_preview_pixels: int = 300_000
    """Pixels, 1e5 to 1e6, of a JPEG inside a file of an unknown kind, so that it is a preview and no thumbnail."""
    aspect_tolerance: float = 0.01
    """Relative, 0.002 to 0.03: an image is cropped if its aspect ratio differs by more from a camera's or EXIF's."""


READING = ReadingSettings()


if TYPE_CHECKING:
    import numpy as np


class PhotoUnreadableError(Exception):
    """A photo file cannot be used; the message is one sentence for the user, with advice."""


@dataclass(frozen=True)
class PhotoSource:
    """A photo as given: its name, and either the file's bytes or its path; ``left_out`` says why it is not read."""

    name: str
    data: bytes | None = None
    path: Path | None = None
    left_out: str = ""

    def __post_init__(self) -> None:
        if (self.data is None) == (self.path is None):
            raise ValueError("a PhotoSource has either data or a path")

    @staticmethod
    def from_path(path: Path | str) -> PhotoSource:
        """The photo file at ``path``, with the file's name."""
        return PhotoSource(Path(path).name, path=Path(path))


@dataclass(frozen=True)
class ReadLimits:
    """Resource limits for reading a photo. The first seven are checked before decoding.

    Attributes
    ----------
    max_file_bytes : largest file that is opened.
    max_side : largest width or height in the file's header, pixels.
    max_pixels : largest width x height of a file that can be decoded at a reduced size (baseline JPEG).
    max_full_pixels : largest width x height of all other files, which must be decoded in full.
    max_webp_pixels : the same for WebP, whose decoder needs 16 bytes a pixel.
    max_scanned_pixels : width x height x scans of a JPEG. Common programs write 10 scans.
    max_pixels_per_byte : width x height per byte of a file above 4 megapixels. A blank JPEG has 100.
    kept_pixels : a decoded photo is reduced by a whole number until it has at most this many pixels.
    cpu_seconds, cpu_seconds_per_megapixel, most_cpu_seconds : processor time for one photo: the first plus the second
        per megapixel, at most the third. Ordinary files take 0.02 s a megapixel.
    most_bytes : memory of the decoder process, where the system enforces it (Linux).
    """

    max_file_bytes: int = 256 * 2**20
    max_side: int = 65_500
    max_pixels: int = 600_000_000
    max_full_pixels: int = 120_000_000
    max_webp_pixels: int = 60_000_000
    max_scanned_pixels: int = 3_000_000_000
    max_pixels_per_byte: int = 1000
    kept_pixels: int = 30_000_000
    cpu_seconds: float = 3.0
    cpu_seconds_per_megapixel: float = 0.06
    most_cpu_seconds: float = 10.0
    most_bytes: int = 1280 * 2**20

    def seconds_for(self, pixels: int) -> float:
        """Processor seconds allowed for a photo of this many pixels."""
        return min(self.cpu_seconds + self.cpu_seconds_per_megapixel * pixels / 1e6, self.most_cpu_seconds)


@dataclass(frozen=True)
class DecodedPhoto:
    """A decoded photo.

    Attributes
    ----------
    name : as in the ``PhotoSource``.
    pixels : (H, W, 3) uint8 sRGB, upright after EXIF rotation; reduced by a whole number if the file is huge.
    source_size : (width, height) of the file after EXIF rotation.
    focal_px : focal length in pixels of ``source_size``, None when unknown or when the file looks cropped.
    """

    name: str
    pixels: np.ndarray
    source_size: tuple[int, int]
    focal_px: float | None
