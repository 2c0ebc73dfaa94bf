"""Types of photo input, reading limits and decoded photos. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


class PhotoUnreadableError(Exception):
    """A photo file cannot be used; the message is one sentence for the user, with advice."""


@dataclass(frozen=True)
class PhotoSource:
    """A photo as given: its name, and either the file's bytes or its path."""

    name: str
    data: bytes | None = None
    path: Path | None = None

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
