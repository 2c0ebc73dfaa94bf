"""The photo stage's inputs, limits and results: formats, photos given and decoded, the faces to use, a verdict on each.

Imports nothing heavy: the command line's help and the server's start need names from here alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from protocol.photo_folder import FORMAT_SUFFIXES

if TYPE_CHECKING:
    import numpy as np

    from backend.geometry.closest import TriangleMesh
    from backend.rendering.camera import Camera

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


class PhotoUnreadableError(Exception):
    """A photo file cannot be used; the message is one sentence for the user, with advice."""


@dataclass(frozen=True)
class PhotoSource:
    """A photo as given: its name, and either the file's bytes or its path; ``left_out`` says why it is not read.
    ``decoded`` : the picture of a mesh, whose bytes are its pixels."""

    name: str
    data: bytes | None = None
    path: Path | None = None
    left_out: str = ""
    decoded: DecodedPhoto | None = None

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


Use = Literal["both", "shape", "texture", "neither"]
"""What a photo may be used for."""

LABELS_SIDE = 512
"""Longest side in pixels at which crops are labelled; labels of larger crops are enlarged."""


class FaceClass(IntEnum):
    """Parsing classes; the value is the label in ``PhotoFace.labels``."""

    BACKGROUND = 0
    SKIN = 1
    BROWS = 2
    EYES = 3
    GLASSES = 4
    LIPS = 5
    MOUTH_INTERIOR = 6
    HAIR = 7
    FACIAL_HAIR = 8
    EARS = 9
    NECK = 10
    OCCLUDER = 11


CONTRADICTED_LABEL = len(FaceClass)
"""Label for skin or beard that contradicts most of the person's photos. It is set by us, not by the parsing net, and is
not an occluder, so the pixels beside it stay valid."""


@dataclass(frozen=True)
class PhotoQuality:
    """Usefulness of a face photo; each part is 0 (useless) to 1 (perfect), ``score`` their weighted product."""

    score: float
    size: float
    sharpness: float
    yaw: float
    exposure: float
    occlusion: float


@dataclass(frozen=True)
class SurfaceLandmarks:
    """Points of the face's surface, including occluded ones, predicted by the landmark net.

    Attributes
    ----------
    positions : (478, 2) float64 of the template's ``landmarks478``, x and y in crop pixels.
    deviation : (478,) float64 standard deviation of x and of y predicted by the net, crop pixels.
    """

    positions: np.ndarray
    deviation: np.ndarray


@dataclass(frozen=True)
class CorrectedLandmarks:
    """Landmarks placed by the user.

    Attributes
    ----------
    landmarks : (N,) int64 of the 478, each once. positions : (N, 2) float64 crop pixels.
    detected : (478, 2) float32 positions of all 478 from the detector.
    ears : (E,) int64 of the six ``template.ear_vertices``, each once; ear_positions : (E, 2) float64 crop pixels.
    """

    landmarks: np.ndarray
    positions: np.ndarray
    detected: np.ndarray
    ears: np.ndarray
    ear_positions: np.ndarray


@dataclass(frozen=True)
class PhotoFace:
    """One person's face, cropped from one photo.

    ``crop_px = crop_scale * (source_px - crop_offset)`` maps pixels of the upright photo to pixels of ``pixels``
    (x right, y down, pixel centres at i + 0.5). Crops are square, edge-padded, at most 2048 px, never enlarged. The
    upright photo is the EXIF-rotated file after ``turns`` quarter turns; all stages work in it, and
    ``file_from_crop`` leads back to the file.

    Attributes
    ----------
    name : file name, unique within a collection.
    source_size : (width, height) of the upright photo.
    focal_px : focal length in source pixels from EXIF, None when missing or when the file looks cropped.
    pixels : (H, W, 3) uint8 sRGB; grey for a monochrome photo.
    crop_scale, crop_offset : see above; offset is (x, y) in source pixels.
    landmarks : (478, 3) float32, x and y in crop pixels, z on the same scale (smaller is nearer to the camera): the
        outline and depths of MediaPipe's mesh, and inside the landmark net's places; corrected ones are the user's.
    labels : (H, W) uint8 of ``FaceClass``.
    monochrome : True for black-and-white and sepia photos (colour losses use luminance).
    yaw_degrees : rough yaw from the landmarks, positive when the person looks to their own left.
    quality : see ``PhotoQuality``.
    surface : prediction of the landmark net, None where it is not trained or not asked for.
    corrected : landmarks placed by the user, None without any. use : what the photo is used for.
    unseen : (478,) bool landmarks under the user's mask, whose pixels ``labels`` calls an occluder; None without a
        mask.
    hair_line : (N, 2) float64 crop pixels on the hairline, placed by the user; None without any.
    turns : counter-clockwise quarter turns, 0 to 3, that turn the EXIF-rotated file upright (``np.rot90``).
    glasses : probability that this face wears any, after all photos' votes.
    """

    name: str
    source_size: tuple[int, int]
    focal_px: float | None
    pixels: np.ndarray
    crop_scale: float
    crop_offset: tuple[float, float]
    landmarks: np.ndarray
    labels: np.ndarray
    monochrome: bool
    yaw_degrees: float
    quality: PhotoQuality
    surface: SurfaceLandmarks | None = None
    corrected: CorrectedLandmarks | None = None
    use: Use = "both"
    unseen: np.ndarray | None = None
    hair_line: np.ndarray | None = None
    turns: int = 0
    glasses: float = 0.0

    @property
    def file_size(self) -> tuple[int, int]:
        """(width, height) of the file after EXIF rotation."""
        return self.source_size if self.turns % 2 == 0 else self.source_size[::-1]

    @property
    def lens_centre(self) -> np.ndarray:
        """(2,) crop pixels, where the lens looked: the picture's centre. Nobody's lens takes pictures beyond 2 : 1, so
        in panoramas, banners and collages it is the crop's centre."""
        import numpy as np

        width, height = self.source_size
        if max(width, height) > 2 * min(width, height) and self.focal_px is None:
            return np.array(self.pixels.shape[1::-1]) / 2.0
        return self.crop_scale * (np.array([width, height]) / 2.0 - np.asarray(self.crop_offset, np.float64))

    @property
    def file_from_crop(self) -> np.ndarray:
        """(3, 3) homogeneous map from crop pixels to pixels of the file after EXIF rotation."""
        import numpy as np

        step, (left, top) = 1.0 / self.crop_scale, self.crop_offset
        to_file = np.array([[step, 0.0, left], [0.0, step, top], [0.0, 0.0, 1.0]])
        size = self.source_size
        for _ in range(self.turns):
            to_file = np.array([[0.0, -1.0, size[1]], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]) @ to_file
            size = size[::-1]
        return to_file

    def in_file(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 2) of the crop, in pixels of the file after EXIF rotation."""
        to_file = self.file_from_crop
        return points @ to_file[:2, :2].T + to_file[:2, 2]


@dataclass(frozen=True)
class PhotoVerdict:
    """What happened to one given photo; ``reason`` is a sentence for the user, empty if nothing is wrong."""

    name: str
    used: bool
    reason: str
    quality: PhotoQuality | None = None


@dataclass(frozen=True)
class Scan:
    """A mesh of the head in metres, its file's name, and the cameras by name that drew its pictures, in its frame and
    their pixels. ``painted`` : it has colours of its own."""

    name: str
    mesh: TriangleMesh
    cameras: Mapping[str, Camera]
    painted: bool


@dataclass(frozen=True)
class PhotoCollection:
    """The faces to fit (best first) and a verdict on every given photo (in the given order); ``scan`` : the mesh that
    gives the shape, whose pictures are among the faces."""

    faces: tuple[PhotoFace, ...]
    verdicts: tuple[PhotoVerdict, ...] = field(default=())
    scan: Scan | None = None


def class_mask(labels: np.ndarray, classes: Iterable[FaceClass]) -> np.ndarray:
    """(H, W) uint8, 255 where ``labels`` (H, W) uint8 is one of ``classes``, else 0."""
    import cv2
    import numpy as np

    table = np.zeros(256, np.uint8)
    table[[int(one) for one in classes]] = 255
    return cv2.LUT(labels, table)
