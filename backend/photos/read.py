"""Photo files to sRGB pixels: any format, mode and depth that a camera or an artist produces, in bounded memory."""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from backend.photos.focal import focal_length_px
from backend.photos.formats import FORMAT_SUFFIXES, FORMATS_TEXT

try:
    import pillow_heif

    pillow_heif.register_heif_opener()
    HEIC_SUPPORTED = True
except ImportError:  # no wheel for this platform
    HEIC_SUPPORTED = False

ImageFile.LOAD_TRUNCATED_IMAGES = False
_ORIENTATION = 0x0112
_GREY_BEHIND_ALPHA = 128
_NO_CHANGE = 3  # levels; such a profile is sRGB by another name
_SRGB = ImageCms.createProfile("sRGB")


class PhotoUnreadableError(Exception):
    """A photo file cannot be used; the message is one sentence for the person, with what to do."""


@dataclass(frozen=True)
class PhotoSource:
    """A photo as it was handed over: its name, and either the file's bytes or the path where the file lies."""

    name: str
    data: bytes | None = None
    path: Path | None = None

    def __post_init__(self) -> None:
        if (self.data is None) == (self.path is None):
            raise ValueError("a PhotoSource has either data or a path")

    @staticmethod
    def from_path(path: Path | str) -> PhotoSource:
        """The photo file at ``path``, named as the file is."""
        return PhotoSource(Path(path).name, path=Path(path))


@dataclass(frozen=True)
class ReadLimits:
    """What is refused before it costs memory.

    Attributes
    ----------
    max_file_bytes : largest file that is opened.
    max_side : largest width or height in the file's header.
    max_pixels : largest width x height of a file that can be decoded at a reduced size (baseline JPEG).
    max_full_pixels : largest width x height of every other file, which has to be decoded whole.
    kept_pixels : a decoded photo is reduced by a whole number until it has at most this many pixels.
    """

    max_file_bytes: int = 256 * 2**20
    max_side: int = 65_500
    max_pixels: int = 600_000_000
    max_full_pixels: int = 120_000_000
    kept_pixels: int = 30_000_000


@dataclass(frozen=True)
class DecodedPhoto:
    """A photo in memory.

    Attributes
    ----------
    name : as in the ``PhotoSource``.
    pixels : (H, W, 3) uint8 sRGB, upright as EXIF says; reduced by a whole number when the file is huge.
    source_size : (width, height) of the file after EXIF rotation.
    focal_px : focal length in pixels of ``source_size``, None when unknown or when the file looks cropped.
    """

    name: str
    pixels: np.ndarray
    source_size: tuple[int, int]
    focal_px: float | None


def read_photo(source: PhotoSource, limits: ReadLimits | None = None) -> DecodedPhoto:
    """Decode one photo.

    Raises
    ------
    PhotoUnreadableError : with a sentence for the person, whatever is wrong with the file.
    """
    limits = limits or ReadLimits()
    data = _bytes_of(source, limits)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own bomb limit is lower than ours; broken EXIF is ignored
            image = _open(data)
            _refuse_huge(image, limits)  # before EXIF is asked for, which makes the PNG reader decode
            size = _upright_size(image)
            focal = focal_length_px(image.getexif(), size)
            pixels = _decode(image, limits)
    except PhotoUnreadableError:
        raise
    except MemoryError as error:
        raise PhotoUnreadableError("There is not enough memory to open it; save it smaller.") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError) as error:
        raise PhotoUnreadableError(_sentence_for(error, data)) from error
    except Exception as error:  # decoders raise nearly anything on broken files
        raise PhotoUnreadableError("The file is damaged and cannot be opened; export it again.") from error
    return DecodedPhoto(source.name, pixels, size, focal)


def _bytes_of(source: PhotoSource, limits: ReadLimits) -> bytes:
    if source.data is not None:
        data = source.data
        size = len(data)
    else:
        try:
            size = source.path.stat().st_size
            data = source.path.read_bytes() if size <= limits.max_file_bytes else b""
        except FileNotFoundError as error:
            raise PhotoUnreadableError("There is no such file; check the path.") from error
        except IsADirectoryError as error:
            raise PhotoUnreadableError("This is a folder, not a photo; give the photos in it.") from error
        except OSError as error:
            reason = error.strerror or "unknown reason"
            raise PhotoUnreadableError(
                f"The file cannot be opened ({reason}); check its permissions and the disk."
            ) from error
    if size > limits.max_file_bytes:
        raise PhotoUnreadableError(
            f"The file has {size / 2**20:.0f} MB, more than the limit of {limits.max_file_bytes / 2**20:.0f} MB;"
            " save it as a JPEG."
        )
    if size == 0:
        raise PhotoUnreadableError("The file is empty; copy or export it again.")
    return data


def _open(data: bytes) -> Image.Image:
    previous = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None  # our own limits are checked from the header, before anything is decoded
    try:
        return Image.open(io.BytesIO(data), formats=_known_formats())
    finally:
        Image.MAX_IMAGE_PIXELS = previous


def _known_formats() -> list[str]:
    Image.init()
    return [name for name in FORMAT_SUFFIXES if name in Image.OPEN]


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    # the HEIC reader turns by itself and says 1; the TIFF reader says the upright size at once
    turned = image.format != "TIFF" and image.getexif().get(_ORIENTATION) in (5, 6, 7, 8)
    return (height, width) if turned else (width, height)


def _can_draft(image: Image.Image) -> bool:
    return image.format in ("JPEG", "MPO") and not image.info.get("progressive", 0)


def _refuse_huge(image: Image.Image, limits: ReadLimits) -> None:
    width, height = image.size
    most = limits.max_pixels if _can_draft(image) else limits.max_full_pixels
    if max(width, height) > limits.max_side or width * height > most:
        raise PhotoUnreadableError(
            f"It is {width} x {height} pixels, more than the limit of {most / 1e6:.0f} megapixels"
            f" and {limits.max_side} a side; save it smaller, for instance 4000 pixels wide."
        )


def _decode(image: Image.Image, limits: ReadLimits) -> np.ndarray:
    """Decoded, upright, reduced, (H, W, 3) uint8 sRGB."""
    factor = math.ceil(math.sqrt(image.width * image.height / limits.kept_pixels))
    if factor > 1 and image.format in ("JPEG", "MPO"):
        image.draft(None, (image.width // factor + 1, image.height // factor + 1))  # the decoder's own 1/2, 1/4, 1/8
    image.load()
    profile = image.info.get("icc_profile")
    factor = math.ceil(math.sqrt(image.width * image.height / limits.kept_pixels))
    if factor > 1 and image.mode not in ("P", "PA", "1"):
        image = image.reduce((min(factor, image.width), min(factor, image.height)))
    image = ImageOps.exif_transpose(image)
    image = _flatten_depth(image)
    image = _to_srgb(image, profile)
    return np.ascontiguousarray(np.asarray(image))


def _flatten_depth(image: Image.Image) -> Image.Image:
    """16- and 32-bit grey to 8 bits."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image, dtype=np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image, dtype=np.float32))
        top = values.max(initial=0.0)
        full = next((scale for scale in (1.0, 255.0, 65535.0) if top <= scale), top)
        return Image.fromarray(np.clip(values * (255.0 / full), 0, 255).astype(np.uint8))
    return image


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Alpha over mid grey, embedded ICC profile to sRGB, any mode to RGB."""
    if image.mode == "P" or image.mode == "PA":
        image = image.convert("RGBA" if "transparency" in image.info or image.mode == "PA" else "RGB")
    if image.mode in ("LA", "La", "RGBa") or (image.mode in ("RGB", "L") and "transparency" in image.info):
        image = image.convert("RGBA")
    if image.mode == "RGBA":
        behind = Image.new("RGBA", image.size, (_GREY_BEHIND_ALPHA,) * 3 + (255,))
        image = Image.alpha_composite(behind, image).convert("RGB")
    if image.mode == "1":
        image = image.convert("L")
    if profile and image.mode in ("RGB", "L", "CMYK", "LAB"):
        converted = _apply_profile(image, profile)
        if converted is not None:
            return converted
    return image.convert("RGB")


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The picture in sRGB, or None when the profile is broken, does not belong to this mode, or changes nothing."""
    try:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(
            embedded, _SRGB, image.mode, "RGB", renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC
        )
        if image.mode == "RGB":
            swatches = Image.fromarray(_swatches())
            change = np.asarray(ImageCms.applyTransform(swatches, transform)).astype(int) - _swatches()
            if np.abs(change).max() <= _NO_CHANGE:
                return None
        return ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _swatches() -> np.ndarray:
    """(1, 125, 3) uint8: all combinations of five levels."""
    levels = np.array([0, 64, 128, 192, 255], np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)


def _sentence_for(error: Exception, data: bytes) -> str:
    if isinstance(error, UnidentifiedImageError):
        if data[4:8] == b"ftyp" and not HEIC_SUPPORTED:
            return "HEIC files need the package pillow-heif; install it, or export the photo as JPEG."
        if data[:4] in (b"II*\0", b"MM\0*"):
            return "This kind of TIFF cannot be read; save it with 8 or 16 bits a channel."
        return f"This is not a picture that can be read; give {FORMATS_TEXT}."
    text = str(error).lower()
    if "truncated" in text or "broken" in text or "unexpected end" in text or "premature" in text:
        return "The file is cut short, part of the picture is missing; copy or download it again."
    return "The file is damaged and cannot be opened; export it again."
